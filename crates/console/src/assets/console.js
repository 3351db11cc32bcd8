"use strict";
// Pages work without this. It looks every few seconds whether something is new, and moves between rows by keyboard.
(() => {
  const EVERY = 2000;
  const rows = () => [...document.querySelectorAll("[data-rows] [data-row]")];

  const refresh = async () => {
    const regions = [...document.querySelectorAll("[data-live][id]")];
    if (regions.length === 0 || document.hidden) return;
    const answer = await fetch(location.href, { headers: { "x-refmon-live": "1" }, cache: "no-store", redirect: "manual" });
    if (answer.type === "opaqueredirect") return location.reload();
    if (!answer.ok) throw new Error("the page does not answer");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const region of regions) {
      const now = fresh.getElementById(region.id);
      if (!now || now.innerHTML === region.innerHTML) continue;
      const focused = region.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      region.replaceChildren(...now.childNodes);
      if (focused) region.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
    }
    document.title = fresh.title;
  };

  const live = () => {
    const sign = document.querySelector("[data-live-state]");
    if (!sign) return;
    sign.hidden = false;
    const say = (state) => {
      sign.textContent = state;
      sign.dataset.state = state;
    };
    const look = () => refresh().then(() => say("live"), () => say("not live")).finally(() => setTimeout(look, EVERY));
    say("live");
    setTimeout(look, EVERY);
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !["j", "k"].includes(event.key)) return;
    const all = rows();
    if (all.length === 0) return;
    const at = all.indexOf(document.activeElement);
    const step = event.key === "j" ? 1 : -1;
    all[at < 0 ? 0 : Math.min(Math.max(at + step, 0), all.length - 1)].focus();
    event.preventDefault();
  });

  // One decision for one press: a second one would be refused, and the refusal would be what is seen.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) return event.preventDefault();
    if (form.method === "post") form.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => document.querySelectorAll("form").forEach((form) => delete form.dataset.sent));

  live();
})();
