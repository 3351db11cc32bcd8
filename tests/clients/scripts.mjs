// The scripts of the fidelity test: raw lines of a client, for both eras and both fixtures.
import { seal } from "./fixture-input.mjs";

const PROTOCOL = "io.modelcontextprotocol";
const ABLE = '{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{"listChanged":true},"x-unknown":{"n":1.0}}';
const MODERN = `"_meta":{"${PROTOCOL}/protocolVersion":"2026-07-28","${PROTOCOL}/clientInfo":{"name":"fidelity","version":"1"},"${PROTOCOL}/clientCapabilities":${ABLE},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","vendor.example/n":1e3}`;

/** Builds steps; `meta` is what every request of the era carries. */
function script(meta) {
  const steps = [];
  let count = 0;
  const params = (members) => `{${[members, meta].filter(Boolean).join(",")}}`;
  const step = (send, until) => void steps.push({ send, until });
  const answers = (id) => (line) => line.replaceAll(/\s/g, "").includes(`"id":${id.replaceAll(/\s/g, "")}`) && /"(result|error)"/.test(line);
  const request = (method, members = "", id = String((count += 1))) =>
    step(`{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params(members)}}`, answers(id));
  return {
    steps,
    request,
    call: (name, args = "{}", more = "", id = undefined) => request("tools/call", `"name":"${name}","arguments":${args}${more}`, id),
    open: (method, members, id, until) => step(`{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params(members)}}`, until),
    notify: (method, members = "") => step(`{"jsonrpc":"2.0","method":"notifications/${method}","params":{${members}}}`),
    line: (send, id) => step(send, id && answers(id)),
  };
}

const INPUTS = {
  user_name: '{"action":"accept","content":{"name":"Ada"}}',
  greeting: '{"role":"assistant","content":{"type":"text","text":"Hi"},"model":"m"}',
  client_roots: '{"roots":[{"uri":"file:///a","name":"\\u0041"}]}',
  confirm: '{"action":"accept","content":{"ok":true}}',
  step1: '{"action":"accept","content":{"name":"Ada"}}',
  step2: '{"action":"accept","content":{"color":"blue"}}',
  user_context: '{"action":"accept","content":{"context":"c"}}',
};
const given = (...keys) => `,"inputResponses":{${keys.map((key) => `"${key}":${INPUTS[key]}`).join(",")}}`;
const state = (state, end = "") => `,"requestState":"${seal(state)}${end}"`;

/** What both eras have in common, on the conformance fixture. */
function offers(s) {
  s.request("tools/list");
  for (const name of ["simple_text", "image_content", "audio_content", "embedded_resource", "multiple_content_types", "error_handling"]) s.call(`test_${name}`);
  for (const name of ["tool_with_logging", "reconnection"]) s.call(`test_${name}`);
  s.call("json_schema_2020_12_tool", '{"name":"n","address":{"street":"\\u0053","city":"C"},"contactMethod":"email","email":"e"}');
  s.call("test_structured_content", '{"city":"Rome"}');
  s.request("resources/list");
  s.request("resources/templates/list");
  for (const uri of ["static-text", "static-binary", "template/123/data", "template/missing/data", "nothing"]) s.request("resources/read", `"uri":"test://${uri}"`);
  s.request("prompts/list");
  s.request("prompts/get", '"name":"test_simple_prompt"');
  s.request("prompts/get", '"name":"test_prompt_with_arguments","arguments":{"arg1":"a","arg2":"\\u0062"}');
  s.request("prompts/get", '"name":"test_prompt_with_embedded_resource","arguments":{"resourceUri":"test://x"}');
  s.request("prompts/get", '"name":"test_prompt_with_image"');
  s.request("prompts/get", '"name":"nothing"');
  s.request("completion/complete", '"ref":{"type":"ref/prompt","name":"test_prompt_with_arguments"},"argument":{"name":"arg1","value":"par"}');
  s.request("completion/complete", '"ref":{"type":"ref/resource","uri":"test://template/{id}/data"},"argument":{"name":"id","value":"1"}');
}

const INITIALIZE = `"protocolVersion":"2025-11-25","capabilities":${ABLE},"clientInfo":{"name":"fidelity","version":"1","x":1.0}`;

function legacy() {
  const s = script("");
  s.request("initialize", INITIALIZE);
  s.notify("initialized");
  s.request("ping");
  s.request("logging/setLevel", '"level":"debug"');
  offers(s);
  s.call("test_tool_with_progress", "{}", ',"_meta":{"progressToken":"token"}');
  s.call("test_tool_with_progress", "{}", ',"_meta":{"progressToken":7}');
  s.call("test_sampling", '{"prompt":"\\u0041?"}');
  s.call("test_elicitation", '{"message":"m"}');
  s.call("test_elicitation_sep1034_defaults");
  s.call("test_elicitation_sep1330_enums");
  s.call("test_list_roots");
  s.call("test_input_required_result_elicitation");
  s.call("test_input_required_result_multiple_inputs");
  s.call("test_list_changes");
  s.request("resources/subscribe", '"uri":"test://watched-resource"');
  s.request("resources/unsubscribe", '"uri":"test://watched-resource"');
  s.notify("roots/list_changed");
  s.request("ping");
  return s.steps;
}

function modern() {
  const s = script(MODERN);
  s.request("server/discover");
  offers(s);
  const input = (name, ...rounds) => {
    s.call(`test_input_required_result_${name}`);
    for (const round of rounds) s.call(`test_input_required_result_${name}`, "{}", round);
  };
  input("elicitation", given("user_name"), ',"inputResponses":{"other":{"action":"accept"}}');
  input("validate_input", ',"inputResponses":{"user_name":{"action":"accept","content":{"name":1.0}}}', given("user_name"));
  input("sampling", `,"inputResponses":{"sample_request":${INPUTS.greeting}}`);
  input("list_roots", `,"inputResponses":{"roots_request":${INPUTS.client_roots}}`);
  input("request_state", given("confirm") + state({ kind: "request-state" }));
  input("tampered_state", given("confirm") + state({ kind: "tampered-state" }, "x"));
  input("multiple_inputs", given("user_name", "greeting", "client_roots") + state({ kind: "multiple-inputs" }));
  input("multi_round", given("step1") + state({ round: 1 }), given("step2") + state({ round: 2, name: "Ada" }));
  input("capabilities", given("user_name", "greeting"));
  s.request("prompts/get", '"name":"test_input_required_result_prompt"');
  s.request("prompts/get", `"name":"test_input_required_result_prompt"${given("user_context")}`);
  const listens = (line) => line.includes("subscriptions/acknowledged");
  s.open("subscriptions/listen", '"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}', '"lists"', listens);
  s.call("test_list_changes");
  s.open("subscriptions/listen", '"notifications":{"resourceSubscriptions":["test://watched-resource"]}', '"resources"', listens);
  s.notify("cancelled", '"requestId":"lists","reason":"\\u0041"');
  s.notify("cancelled", '"requestId":"resources"');
  s.request("server/discover");
  return s.steps;
}

const RAW_CALLS = ["rich", "spellings", "error", "white_space", "task", "notifications", "asks", "input_required"];

/** Every request of the method table that the eras share, on the raw fixture. */
function raw(s) {
  s.request("tools/list");
  s.request("tools/list", '"cursor":"two"');
  for (const name of RAW_CALLS) s.call(`raw_${name}`, '{"n":1.0,"any":[1e3,-0,0.1000,"\\u0041\\/"]}', ',"x-top":1e3');
  s.request("resources/list", '"cursor":"\\u0061"');
  s.request("resources/templates/list");
  s.request("resources/read", '"uri":"raw://\\u0061","x":1.0');
  s.request("prompts/list");
  s.request("prompts/get", '"name":"p","arguments":{"a":"\\u0041"}');
  s.request("completion/complete", '"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""},"context":{"arguments":{}}');
  for (const method of ["get", "cancel"]) s.request(`tasks/${method}`, '"taskId":"t1","x":1.0');
  s.open("tools/call", '"name":"raw_slow","arguments":{}', '"slow"', (line) => line.includes("notifications/progress"));
  s.notify("cancelled", '"requestId":"\\u0073low","reason":"\\u0041","x":1.0');
  // Identifiers come back as they were spelled.
  s.call("raw_white_space", "{}", "", '"\\u0061 \\ud83d\\ude00"');
  s.call("raw_white_space", "{}", "", "-9007199254740993");
}

function rawLegacy() {
  const s = script("");
  s.request("initialize", INITIALIZE);
  s.notify("initialized", '"_meta":{"n":1.0}');
  s.line(' { "jsonrpc" : "2.0" , "id" : 900 , "method" : "ping" }\r', "900");
  raw(s);
  for (const method of ["result", "list"]) s.request(`tasks/${method}`, '"taskId":"t1"');
  s.call("raw_task", "{}", ',"task":{"ttl":1e3}');
  s.request("resources/subscribe", '"uri":"raw://a"');
  s.request("resources/unsubscribe", '"uri":"raw://a"');
  s.request("logging/setLevel", '"level":"info","x":1.0');
  for (const method of ["progress", "roots/list_changed", "tasks/status"]) s.notify(method, '"progressToken":"p","progress":1.0,"x":1e3');
  s.request("ping");
  return s.steps;
}

function rawModern() {
  const s = script(MODERN);
  s.request("server/discover");
  raw(s);
  s.request("tasks/update", '"taskId":"t1","inputResponses":{"a":{"action":"accept","content":{"n":1.0}}}');
  s.call("raw_input_required", "{}", ',"inputResponses":{"a":{"action":"decline","x":1e3}},"requestState":"\\u0041=="');
  s.request("subscriptions/listen", '"notifications":{"toolsListChanged":true}', '"listen"');
  s.request("subscriptions/listen", '"notifications":{"resourceSubscriptions":["raw://a"],"x":1.0}', '"listen too"');
  s.request("server/discover");
  return s.steps;
}

export const SCRIPTS = [
  { fixture: "fixture", era: "2025-11-25", steps: legacy() },
  { fixture: "fixture", era: "2026-07-28", steps: modern() },
  { fixture: "raw-fixture", era: "2025-11-25", steps: rawLegacy() },
  { fixture: "raw-fixture", era: "2026-07-28", steps: rawModern() },
];

const ANSWERS = {
  ping: '{ "x":1.0}',
  "roots/list": INPUTS.client_roots,
  "sampling/createMessage": '{"role":"assistant","content":{"type":"text","text":"Hi"},"model":"m"}',
  "elicitation/create": '{"action":"accept","content":{"response":"\\u0041"}}',
};

const elicited = (name) => Object.entries(INPUTS).find(([, answer]) => answer.includes(`"${name}"`))?.[1];

/** What the client answers to a request of the server. */
export function answerTo(method, id, params) {
  const asked = Object.keys(params?.requestedSchema?.properties ?? {});
  const result = (method === "elicitation/create" && elicited(asked[0])) || ANSWERS[method] || '{"taskId":"c1","n":1.0,"x":1e3}';
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`;
}
