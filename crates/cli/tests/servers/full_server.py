"""An MCP server with every method: `full_server.py legacy|modern|late LOG [PORT]`. `late` is legacy, and reads nothing
before there is a file LOG.go.

Over standard streams, or with PORT over HTTP at 127.0.0.1 (0 takes a free one, which is printed). LOG gets a line for each
message: [method or tool, params, headers]. A file LOG.forget makes the HTTP server forget its sessions, once;
LOG.token holds the credential that it asks for, if it does.
"""

import json
import os
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE, LOG = sys.argv[1], sys.argv[2]
MODERN = MODE == "modern"
LATE = MODE == "late"
TEXT = {"type": "object", "properties": {"text": {"type": "string", "x-mcp-header": "Text"}}}
NAMES = ["echo", "wait", "sample", "elicit", "visit", "roots", "steps", "chat", "change"]
TOOLS = [{"name": name, "description": name, "inputSchema": TEXT} for name in NAMES]
CAPABILITIES = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "prompts": {"listChanged": True},
    "completions": {},
    "logging": {},
}
INFO = {"name": "full", "version": "1"}
VERSION = "io.modelcontextprotocol/"
LEVELS = ["debug", "info", "notice", "warning", "error"]
QUESTIONS = {
    "sample": ("sampling/createMessage", {"messages": [{"role": "user", "content": {"type": "text", "text": "Say hi"}}], "maxTokens": 9}),
    "elicit": ("elicitation/create", {"mode": "form", "message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}),
    "visit": ("elicitation/create", {"mode": "url", "message": "Sign in", "url": "https://example.com/in", "elicitationId": "e1"}),
    "roots": ("roots/list", {}),
}
LOCK = threading.Lock()


class Refused(Exception):
    """A request that is answered with an error: code, text."""


def log(name, params, headers=None):
    with LOCK, open(LOG, "a") as file:
        file.write(json.dumps([name, params, headers or {}]) + "\n")


class State:
    """What one client of the server has begun."""

    def __init__(self, announce):
        self.announce = announce  # sends what belongs to no request
        self.level = "error"
        self.subscribed = set()
        self.answers = {}
        self.cancelled = {}
        self.listeners = {}
        self.asked = 0


def page(items, key, params):
    """Pages of four tools, and of one of anything else."""
    size = 4 if key == "tools" else 1
    at = int(params.get("cursor", "0"))
    result = {key: items[at : at + size]}
    if at + size < len(items):
        result["nextCursor"] = str(at + size)
    return result


def says(text):
    return {"content": [{"type": "text", "text": text}]}


def said(name, answer):
    """What a tool makes of the client's answer."""
    if name == "sample":
        return "sampled " + answer["content"]["text"]
    if name == "elicit":
        return "hello " + answer["content"]["name"] if answer["action"] == "accept" else answer["action"]
    if name == "visit":
        return "visited " + answer["action"]
    return "roots " + " ".join(root["uri"] for root in answer["roots"])


def tell(state, method, params):
    """Announces a change: to those who listen for it (newer era), or to the client (older era)."""
    if not MODERN:
        if method != "notifications/resources/updated" or params["uri"] in state.subscribed:
            state.announce({"jsonrpc": "2.0", "method": method, "params": params})
        return
    flags = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}
    for number, (wanted, send) in list(state.listeners.items()):
        meta = {VERSION + "subscriptionId": number}
        fits = wanted.get(flags[method.split("/")[1]]) if method.endswith("list_changed") else params["uri"] in wanted.get("resourceSubscriptions", [])
        if fits:
            send({"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": meta}})


def call(state, params, send, number):
    name, text, meta = params["name"], params.get("arguments", {}).get("text", ""), params.get("_meta", {})
    if name == "echo":
        return says(text)
    if name == "wait":
        gone = state.cancelled.setdefault(json.dumps(number), threading.Event())
        gone.wait()
        return None
    if name in QUESTIONS:
        method, asks = QUESTIONS[name]
        if MODERN:
            answer = params.get("inputResponses", {}).get("q")
            if answer is None:
                return {"resultType": "input_required", "inputRequests": {"q": {"method": method, "params": asks}}, "requestState": "s"}
            return says(said(name, answer))
        state.asked += 1
        waits, own = queue.Queue(), "q%d" % state.asked
        state.answers[own] = waits
        send({"jsonrpc": "2.0", "id": own, "method": method, "params": asks})
        answer = waits.get()
        return says(said(name, answer["result"]) if "result" in answer else "refused")
    if name == "steps":
        token = meta.get("progressToken")
        for step in (1, 2, 3):
            if token is not None:
                send({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": step, "total": 3}})
        return says("done")
    if name == "chat":
        level = meta.get(VERSION + "logLevel") if MODERN else state.level
        for own in ("debug", "warning"):
            if level and LEVELS.index(own) >= LEVELS.index(level):
                send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": own, "data": own + " " + text}})
        return says("chatted")
    for kind in ("tools", "prompts", "resources"):
        tell(state, "notifications/%s/list_changed" % kind, {})
    for uri in ("mem://a", "mem://b"):
        tell(state, "notifications/resources/updated", {"uri": uri})
    return says("changed")


def answer(state, method, params, send, number):
    if method == "tools/call":
        return call(state, params, send, number)
    if method == "tools/list":
        return page(TOOLS, "tools", params)
    if method == "resources/list":
        return page([{"uri": "mem://" + name, "name": name} for name in "ab"], "resources", params)
    if method == "resources/templates/list":
        return page([{"uriTemplate": "mem://{name}", "name": "any"}], "resourceTemplates", params)
    if method == "resources/read":
        if params["uri"] not in ("mem://a", "mem://b"):
            raise Refused(-32602, "no such resource")
        return {"contents": [{"uri": params["uri"], "text": "text of " + params["uri"]}]}
    if method == "prompts/list":
        return page([{"name": name} for name in ("greet", "leave")], "prompts", params)
    if method == "prompts/get":
        return {"messages": [{"role": "user", "content": {"type": "text", "text": params["name"] + " " + params.get("arguments", {}).get("whom", "")}}]}
    if method == "completion/complete":
        return {"completion": {"values": [params["argument"]["value"] + "!"]}}
    if MODERN and method == "server/discover":
        return {"supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES, "_meta": {VERSION + "serverInfo": INFO}}
    if MODERN and method == "subscriptions/listen":
        wanted = params["notifications"]
        state.listeners[number] = (wanted, send)
        send({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {"notifications": wanted, "_meta": {VERSION + "subscriptionId": number}}})
        state.cancelled.setdefault(json.dumps(number), threading.Event()).wait()
        state.listeners.pop(number, None)
        return None
    if not MODERN and method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES, "serverInfo": INFO}
    if not MODERN and method == "ping":
        return {}
    if not MODERN and method == "logging/setLevel":
        state.level = params["level"]
        return {}
    if not MODERN and method in ("resources/subscribe", "resources/unsubscribe"):
        if not params["uri"].startswith("mem://"):
            raise Refused(-32602, "no such resource")
        (state.subscribed.add if method == "resources/subscribe" else state.subscribed.discard)(params["uri"])
        return {}
    raise Refused(-32601, "no such method")


def take(state, message, send, headers=None):
    """Takes one message; what comes back goes to `send`, the answer last."""
    method, params, number = message.get("method"), message.get("params", {}), message.get("id")
    if method is None:
        waits = state.answers.pop(number, None)
        return waits.put(message) if waits else None
    log(params.get("name", method) if method == "tools/call" else method, params, headers)
    if method == "notifications/cancelled":
        state.cancelled.setdefault(json.dumps(params["requestId"]), threading.Event()).set()
    if number is None:
        return None
    try:
        if MODERN and VERSION + "protocolVersion" not in params.get("_meta", {}):
            raise Refused(-32601, "no such method in this version")
        result = answer(state, method, params, send, number)
        if result is None:
            return None
        if MODERN:
            result = {"resultType": "complete", **result}
            if method.endswith("list") or method in ("resources/read", "server/discover"):
                result = {"ttlMs": 0, "cacheScope": "public", **result}
        send({"jsonrpc": "2.0", "id": number, "result": result})
    except Refused as error:
        send({"jsonrpc": "2.0", "id": number, "error": {"code": error.args[0], "message": error.args[1]}})
    return None


def over_streams():
    def send(message):
        with LOCK:
            print(json.dumps(message), flush=True)

    state = State(send)
    if LATE:
        log("started", {})
    while LATE and not os.path.exists(LOG + ".go"):
        time.sleep(0.05)
    for line in sys.stdin:
        threading.Thread(target=take, args=(state, json.loads(line), send), daemon=True).start()


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sessions = {}
    shared = None

    def log_message(self, *_):
        pass

    def refuse(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def stream(self, messages, last, session=None):
        """Writes messages as events until the last one, or until nobody reads them."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        if session:
            self.send_header("mcp-session-id", session)
        self.end_headers()
        self.close_connection = True
        while True:
            try:
                message = messages.get(timeout=0.05)
            except queue.Empty:
                message = None
            try:
                text = ": alive\n\n" if message is None else "data: %s\n\n" % json.dumps(message)
                self.wfile.write(text.encode())
                self.wfile.flush()
            except OSError:
                return False
            if message is not None and last(message):
                return True

    def known(self):
        if os.path.exists(LOG + ".token") and self.headers.get("authorization") != open(LOG + ".token").read():
            self.refuse(401)
            return None
        if MODERN:
            Door.shared = Door.shared or State(lambda message: None)
            return Door.shared
        if os.path.exists(LOG + ".forget"):
            os.remove(LOG + ".forget")
            Door.sessions.clear()
        found = Door.sessions.get(self.headers.get("mcp-session-id"))
        if found is None:
            self.refuse(404)
        return found

    def do_GET(self):
        state = self.known()
        if state is not None and MODERN:
            self.refuse(405)
        elif state is not None:
            self.stream(state.events, lambda message: False)

    def do_DELETE(self):
        if self.known() is not None:
            self.refuse(204)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        session = None
        if not MODERN and message.get("method") == "initialize" and not os.path.exists(LOG + ".token"):
            events = queue.Queue()
            session, state = "session-%d" % (len(Door.sessions) + 1), State(events.put)
            state.events = events
            Door.sessions[session] = state
        else:
            if not MODERN and self.headers.get("mcp-protocol-version") not in (None, "2025-11-25"):
                return self.refuse(400)
            state = self.known()
        if state is None:
            return None
        messages, headers = queue.Queue(), {name.lower(): value for name, value in self.headers.items()}
        threading.Thread(target=take, args=(state, message, messages.put, headers), daemon=True).start()
        if "id" not in message or "method" not in message:
            return self.refuse(202)
        number = message["id"]
        if not self.stream(messages, lambda own: own.get("id") == number and "method" not in own, session):
            log("closed", {"id": number})
            state.cancelled.setdefault(json.dumps(number), threading.Event()).set()
        return None


if __name__ == "__main__":
    if len(sys.argv) > 3:
        server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Door)
        print(server.server_address[1], flush=True)
        server.serve_forever()
    over_streams()
