"""An MCP server for serve.rs: `era_server.py legacy|modern|stall [LOG]`. `stall` is legacy and never lists its tools.

`echo` says its text again, `ask` wants the user's name first, `wait` answers only when its call is cancelled. What it is
called with is appended to LOG. A line that is no message is passed over, as the published SDKs do.
"""

import json
import sys

STALLS = sys.argv[1] == "stall"
MODE = "legacy" if STALLS else sys.argv[1]
LOG = open(sys.argv[2], "a", buffering=1) if len(sys.argv) > 2 else None
TEXT = {"type": "object", "properties": {"text": {"type": "string", "x-mcp-header": "Text"}}}
TOOLS = [{"name": name, "description": name, "inputSchema": TEXT} for name in ("echo", "ask", "wait")]
QUESTION = {
    "method": "elicitation/create",
    "params": {
        "mode": "form",
        "message": "Who are you?",
        "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}
CAPABILITIES = {"tools": {"listChanged": True}}
INFO = {"name": "era", "version": "1"}


def send(message):
    print(json.dumps(message), flush=True)


def says(text):
    result = {"content": [{"type": "text", "text": text}]}
    return {**result, "resultType": "complete"} if MODE == "modern" else result


def called(params):
    """The result of a call, or None if there is none yet."""
    name, arguments = params["name"], params.get("arguments", {})
    if LOG:
        LOG.write(json.dumps([name, arguments]) + "\n")
    if name == "echo":
        return says(arguments.get("text", ""))
    if name == "wait":
        return None
    if MODE == "modern":
        answer = params.get("inputResponses", {}).get("who")
        if answer is None:
            return {"resultType": "input_required", "inputRequests": {"who": QUESTION}, "requestState": "st/1"}
        if params.get("requestState") != "st/1":
            return says("the state is another one")
        return says("hello " + answer["content"]["name"])
    send({"jsonrpc": "2.0", "id": "question", **QUESTION})
    for line in sys.stdin:
        answer = json.loads(line)
        if answer.get("id") == "question":
            return says("hello " + answer["result"]["content"]["name"] if "result" in answer else "nobody answers")


def answer(request):
    method, params = request["method"], request.get("params", {})
    if method == "initialize" and MODE == "legacy":
        return {"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES, "serverInfo": INFO}
    if method == "server/discover" and MODE == "modern":
        return {
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": CAPABILITIES,
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {"io.modelcontextprotocol/serverInfo": INFO},
        }
    if method == "tools/list":
        cache = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"} if MODE == "modern" else {}
        return {"tools": TOOLS, **cache}
    if method == "tools/call":
        return called(params)
    raise KeyError(method)


def main():
    for line in sys.stdin:
        try:
            request = json.loads(line)
        except ValueError:
            LOG and LOG.write(json.dumps(["unreadable", {}]) + "\n")
            continue
        if LOG and request.get("method") == "notifications/cancelled":
            LOG.write(json.dumps(["cancelled", {}]) + "\n")
        if "id" not in request or "method" not in request or (STALLS and request["method"] == "tools/list"):
            continue
        try:
            result = answer(request)
        except KeyError:
            error = {"code": -32601, "message": "no such method"}
            send({"jsonrpc": "2.0", "id": request["id"], "error": error})
            continue
        if result is not None:
            send({"jsonrpc": "2.0", "id": request["id"], "result": result})


if __name__ == "__main__":
    main()
