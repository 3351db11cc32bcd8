// What the raw fixture writes: one line of text per message, `$ID` standing for the request's identifier as it came.
const result = (body) => `{"jsonrpc":"2.0","id":$ID,"result":${body}}`;
const notification = (method, params) => `{"jsonrpc":"2.0","method":"notifications/${method}","params":${params}}`;
const request = (id, method, params) => `{"jsonrpc":"2.0","id":"asks ${id}","method":"${method}","params":${params}}`;

const NUMBERS = '[1.0,1e3,-0,0.1000,12345678901234567890123,1E+2,5e-324]';
const STRINGS = String.raw`["\u0041\/\u00e9é","\ud83d\ude00😀","\u0000\u001f\u007f","line\u2028break"]`;
const UNKNOWN = `"x-unknown":{"numbers":${NUMBERS},"strings":${STRINGS},"null":null,"":[ {} , [ ] ]}`;
const META = `"_meta":{"vendor.example/key":{"n":1.0},"progressToken2":1e3,${UNKNOWN}}`;
const TASK = '"taskId":"t1","status":"working","createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttl":1e3,"pollInterval":1.0';

const tool = (name, more = "") => `{"name":"${name}","inputSchema":{"type":"object","properties":{"n":{"type":"number","maximum":1e3},"any":{"title":"\\u0041"}}}${more}}`;
const NAMES = ["raw_spellings", "raw_error", "raw_white_space", "raw_task", "raw_notifications", "raw_asks", "raw_input_required", "raw_slow"];
const RICH = [
  '"title":"Rich"', `"annotations":{"readOnlyHint":true,"title":"T","x-hint":1.0}`, '"execution":{"taskSupport":"optional","x":1e3}',
  '"icons":[{"src":"data:,","mimeType":"image/png","sizes":["any"],"theme":"dark"}]',
  '"outputSchema":{"type":"object","properties":{"n":{"type":"number","default":1.0}},"$defs":{"unused":true}}', META, UNKNOWN,
].join(",");

const CAPABILITIES = `{"tools":{"listChanged":true},"resources":{"subscribe":true},"prompts":{},"completions":{},"logging":{},"tasks":{"list":{},"cancel":{}},"extensions":{"io.modelcontextprotocol/tasks":{"v":1.0}},${UNKNOWN}}`;
const IDENTITY = '{"name":"raw","version":"1.0","title":"Raw","x-build":1e3}';

/** Answers to requests other than calls; a cursor picks another page. */
export const METHODS = {
  initialize: [result(`{"protocolVersion":"2025-11-25","capabilities":${CAPABILITIES},"serverInfo":${IDENTITY},"instructions":"é",${UNKNOWN}}`)],
  "server/discover": [result(`{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":${CAPABILITIES},"serverInfo":${IDENTITY},"ttlMs":1e3,"cacheScope":"public",${META}}`)],
  ping: [result("{ }")],
  "tools/list": [result(`{"tools":[${tool("raw_rich", `,${RICH}`)} ,\t${tool(NAMES[0])}],"nextCursor":"two","ttlMs":1.0e3,"cacheScope":"public",${UNKNOWN}}`)],
  "tools/list two": [result(`{"tools":[${NAMES.slice(1).map((name) => tool(name)).join(", ")}],${META}}`)],
  "resources/list": [result(`{"resources":[{"uri":"raw://a","name":"a","size":1.0,"annotations":{"priority":1e0},${UNKNOWN}}],${META}}`)],
  "resources/templates/list": [result(`{"resourceTemplates":[{"uriTemplate":"raw://{x}","name":"t",${UNKNOWN}}]}`)],
  "resources/read": [result(`{"contents":[{"uri":"raw://a","text":"\\u0041",${META}}],"ttlMs":0,"cacheScope":"private",${UNKNOWN}}`)],
  "resources/subscribe": [notification("resources/updated", `{"uri":"raw://a",${UNKNOWN}}`), result(`{${META}}`)],
  "resources/unsubscribe": [result("{}")],
  "prompts/list": [result(`{"prompts":[{"name":"p","arguments":[{"name":"a","required":true,${UNKNOWN}}],${META}}]}`)],
  "prompts/get": [result(`{"messages":[{"role":"user","content":{"type":"text","text":"\\u0041","x":1e3}}],${UNKNOWN}}`)],
  "completion/complete": [result(`{"completion":{"values":["a"],"total":1.0,"hasMore":false,"x":1e3}}`)],
  "logging/setLevel": [result("{}")],
  "tasks/get": [result(`{${TASK},${UNKNOWN}}`)],
  "tasks/result": [result(`{"content":[],"isError":false,${META}}`)],
  "tasks/list": [result(`{"tasks":[{${TASK}}],"x":1.0}`)],
  "tasks/cancel": [result(`{${TASK}}`)],
  "tasks/update": [result(`{"resultType":"complete",${UNKNOWN}}`)],
  "subscriptions/listen": [
    notification("subscriptions/acknowledged", `{"_meta":{"io.modelcontextprotocol/subscriptionId":$ID},"notifications":{"toolsListChanged":true},${UNKNOWN}}`),
    notification("tools/list_changed", `{"_meta":{"io.modelcontextprotocol/subscriptionId":$ID},"x":1.0}`),
    notification("resources/updated", `{"uri":"raw://a","_meta":{"io.modelcontextprotocol/subscriptionId":$ID}}`),
    result(`{"resultType":"complete",${META}}`),
  ],
};

/** Answers to `tools/call`, by tool. */
export const CALLS = {
  raw_rich: [result(`{"content":[{"type":"text","text":"t","annotations":{"audience":["user"],"priority":1.0},${META}}],"structuredContent":{"n":1.0,"big":12345678901234567890123},"isError":false,${UNKNOWN}}`)],
  raw_spellings: [result(`{"resultType":"complete","content":[{"type":"x-unknown-type","numbers":${NUMBERS},"strings":${STRINGS}}],"structuredContent":${NUMBERS},"isError":true}`)],
  raw_error: [`{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"no \\u0041","data":{"n":1e3,${UNKNOWN}},"x":1.0},"top":1e3}`],
  raw_white_space: [` { "jsonrpc" : "2.0" ,\t"id" : $ID , "result" : { "content" : [ ] } }\r`],
  raw_task: [
    result(`{"resultType":"task","task":{${TASK}},${TASK},${META}}`),
    notification("tasks/status", `{${TASK},${UNKNOWN}}`),
  ],
  raw_notifications: [
    notification("progress", `{"progressToken":"p","progress":1.0,"total":1e3,"message":"\\u0041",${UNKNOWN}}`),
    notification("progress", `{"progressToken":7,"progress":0.1000,${META}}`),
    notification("message", `{"level":"info","logger":"l","data":{"n":1.0},${META}}`),
    notification("tools/list_changed", `{${META}}`),
    '{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}',
    '{"jsonrpc":"2.0","method":"notifications/resources/list_changed","x-top":1.0}',
    notification("resources/updated", `{"uri":"raw://a","title":"x"}`),
    notification("elicitation/complete", `{"elicitationId":"e",${UNKNOWN}}`),
    notification("tasks/status", `{${TASK}}`),
    notification("cancelled", `{"requestId":"nothing","reason":"\\u0041"}`),
    result('{"content":[]}'),
  ],
  raw_asks: [
    request("ping", "ping", "{}"),
    request("roots", "roots/list", `{${META}}`),
    request("sampling", "sampling/createMessage", `{"messages":[{"role":"user","content":{"type":"text","text":"\\u0041"}}],"maxTokens":1e3,"temperature":1.0,"tools":[],"x-unknown":{"n":1e3}}`),
    request("form", "elicitation/create", `{"mode":"form","message":"m","requestedSchema":{"type":"object","properties":{"n":{"type":"number","minimum":1.0}}},${META}}`),
    request("url", "elicitation/create", '{"mode":"url","message":"m","url":"https://refmon.example/","elicitationId":"e"}'),
    request("get", "tasks/get", '{"taskId":"c1"}'),
    request("result", "tasks/result", '{"taskId":"c1"}'),
    request("list", "tasks/list", "{}"),
    request("cancel", "tasks/cancel", '{"taskId":"c1"}'),
    '{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}',
  ],
  raw_input_required: [result(`{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{"n":{"minimum":1.0}}}},"x":1e3},"b":{"method":"roots/list"},"c":{"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1e3}}},"requestState":"\\u0041==",${UNKNOWN}}`)],
  raw_slow: [notification("progress", '{"progressToken":"slow","progress":1.0}')],
};
