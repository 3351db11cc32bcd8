#!/usr/bin/env python3
"""Soaks `refmon serve`: clients of both eras come, call and go for as long as you like; one in a hundred breaks off.

    crates/bench/soak.py [--minutes 60] [--rate 60] [--json FILE]

Each client of the older era has server processes of its own, so what leaks shows: memory, open files, threads, child
processes, holds, and calls that never end. The program is `$REFMON`, or the one that was built last. Prints a line a minute, and at the end what was wrong, if anything. Exits with 1
if something was.
"""

import argparse
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REFMON = os.environ.get("REFMON", os.path.join(ROOT, "target/release/refmon"))
SERVER = os.path.join(ROOT, "crates/cli/tests/servers/era_server.py")
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "soak", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}


class Counts:
    def __init__(self):
        self.lock, self.calls, self.broken, self.wrong = threading.Lock(), 0, 0, []

    def add(self, calls=0, broken=0, wrong=None):
        with self.lock:
            self.calls, self.broken = self.calls + calls, self.broken + broken
            if wrong and len(self.wrong) < 20:
                self.wrong.append(wrong)


def configure(folder):
    """Two servers, of one era each, as `init` writes them; what they do is permitted."""
    config = os.path.join(folder, "refmon.toml")
    for name, mode in (("one", "legacy"), ("two", "modern")):
        command = [REFMON, "--config", config, "init", "--yes", "--name", name, "--", sys.executable, SERVER, mode]
        subprocess.run(command, check=True, capture_output=True)
    with open(config, "a") as file:
        file.write('\n[listen]\nhttp = "127.0.0.1:0"\n')
    with open(os.path.join(folder, "policies", "soak.cedar"), "w") as file:
        file.write('@id("soak") @reason("the soak may call everything")\npermit (principal, action, resource);\n')
    for name in ("one", "two"):
        path = os.path.join(folder, "contracts", f"{name}.toml")
        text = open(path).read()
        text = text.replace('hold = "always"', 'hold = "policy"')
        open(path, "w").write(re.sub(r"effects = \[.*?\]", 'effects = ["write"]', text))


def headers(modern, method=None, name=None, session=None):
    made = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if modern:
        made.update({"mcp-protocol-version": "2026-07-28", "mcp-method": method})
        if name:
            made["mcp-name"] = name
    elif session:
        made.update({"mcp-session-id": session, "mcp-protocol-version": "2025-11-25"})
    return made


class Client:
    def __init__(self, port, modern):
        self.connection, self.modern, self.session = http.client.HTTPConnection("127.0.0.1", port, timeout=60), modern, None
        if not modern:
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}}
            answer, response = self.post("initialize", params)
            self.session = response.getheader("mcp-session-id")
            if not self.session:
                raise RuntimeError(f"no session: {response.status} {answer[:200]}")

    def body(self, method, params):
        if self.modern:
            params = {**params, "_meta": META}
        return json.dumps({"jsonrpc": "2.0", "id": random.randrange(1 << 40), "method": method, "params": params})

    def post(self, method, params):
        made = headers(self.modern, method, params.get("name"), self.session)
        self.connection.request("POST", "/mcp", self.body(method, params), made)
        response = self.connection.getresponse()
        return response.read().decode(), response

    def call(self, server):
        text = f"soak {random.random()} " + "x" * random.choice((1, 30, 3000))
        answer, response = self.post("tools/call", {"name": f"{server}__echo", "arguments": {"text": text}})
        if response.status != 200 or text not in answer:
            raise RuntimeError(f"{response.status}: {answer[:300]}")

    def break_off(self, server):
        """Asks for what does not end, and goes away in the middle of it."""
        made = headers(self.modern, "tools/call", f"{server}__wait", self.session)
        self.connection.request("POST", "/mcp", self.body("tools/call", {"name": f"{server}__wait", "arguments": {}}), made)
        time.sleep(0.05)
        self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def leave(self):
        if self.session:
            self.connection.request("DELETE", "/mcp", headers={"mcp-session-id": self.session})
            self.connection.getresponse().read()
        self.connection.close()


def work(port, until, pause, counts):
    while time.time() < until:
        modern = random.random() < 0.5
        try:
            client = Client(port, modern)
            for _ in range(random.randrange(5, 60)):
                if random.random() < 0.01:
                    client.break_off(random.choice(("one", "two")))
                    counts.add(broken=1)
                    break
                client.call(random.choice(("one", "two")))
                counts.add(calls=1)
                time.sleep(random.random() * 2 * pause)
            client.leave()
        except Exception as error:  # what goes wrong is the finding
            counts.add(wrong=f"{'newer' if modern else 'older'} era: {type(error).__name__}: {error}")


def state(pid):
    status = open(f"/proc/{pid}/status").read()
    rss = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    threads = int(next(line for line in status.splitlines() if line.startswith("Threads")).split()[1])
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return {"rss_kib": rss, "files": len(os.listdir(f"/proc/{pid}/fd")), "threads": threads, "children": len(children)}


def refmon_json(folder, *command):
    out = subprocess.run([REFMON, "--config", f"{folder}/refmon.toml", "--json", *command], capture_output=True, text=True)
    return out.returncode, out.stdout


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--rate", type=float, default=60, help="calls a second, about")
    arguments.add_argument("--json", metavar="FILE")
    options = arguments.parse_args()
    folder = tempfile.mkdtemp(prefix="refmon-soak-")
    configure(folder)
    command = [REFMON, "--config", f"{folder}/refmon.toml", "--json", "serve"]
    gateway = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(f"{folder}/serve.log", "w"), text=True)
    port = int(json.loads(gateway.stdout.readline())["listening"].rsplit(":", 1)[1].split("/")[0])
    counts, workers, until = Counts(), 8, time.time() + options.minutes * 60
    pause = workers / options.rate
    threads = [threading.Thread(target=work, args=(port, until, pause, counts)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    samples = []
    print(f"{'minute':>7}{'calls':>9}{'broken off':>12}{'RSS MiB':>9}{'files':>7}{'threads':>9}{'children':>10}{'wrong':>7}")
    while time.time() < until:
        time.sleep(min(60, max(0.5, options.minutes * 6)))
        now = {"minute": round((options.minutes * 60 - (until - time.time())) / 60, 1), **state(gateway.pid)}
        now.update({"calls": counts.calls, "broken": counts.broken, "wrong": len(counts.wrong)})
        samples.append(now)
        line = (now["minute"], now["calls"], now["broken"], f"{now['rss_kib'] / 1024:.1f}", now["files"], now["threads"])
        print("{:>7}{:>9}{:>12}{:>9}{:>7}{:>9}{:>10}{:>7}".format(*line, now["children"], now["wrong"]), flush=True)
    for thread in threads:
        thread.join()
    time.sleep(5)
    rest = state(gateway.pid)
    print("after the last client:", rest)
    wrong = list(counts.wrong)
    half = [sample["rss_kib"] for sample in samples[len(samples) // 4 :]]
    early, late = half[: max(1, len(half) // 3)], half[-max(1, len(half) // 3) :]
    growth = sorted(late)[len(late) // 2] / sorted(early)[len(early) // 2]
    print(f"memory, last quarter against second: {growth:.3f}")
    if len(samples) >= 20 and growth > 1.1:
        wrong.append(f"memory grew by a factor of {growth:.2f}")
    code, holds = refmon_json(folder, "holds", "list")
    if code not in (0, 1) or json.loads(holds or "[]"):
        wrong.append(f"holds are left: {holds[:200]}")
    gateway.send_signal(signal.SIGTERM)
    if gateway.wait(60) != 0:
        wrong.append("refmon did not end in order")
    code, verified = refmon_json(folder, "audit", "verify")
    print("journal:", verified.strip()[:400])
    if code != 0:
        wrong.append("the journal does not verify")
    left = subprocess.run(["pgrep", "-f", SERVER], capture_output=True, text=True).stdout.split()
    print(f"calls {counts.calls}, broken off {counts.broken}, server processes left {len(left)}, folder {folder}")
    if left:
        wrong.append(f"{len(left)} server processes outlive the gateway")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"samples": samples, "rest": rest, "growth": growth, "wrong": wrong}, file, indent=1)
    for text in wrong:
        print("WRONG:", text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
