"""An MCP server up to 2025-11-25 for doors.rs: `doors_server.py DEFINITIONS`. Every tool says "done"."""

import json
import sys


def result(method, tools):
    if method == "initialize":
        info = {"name": "doors", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": tools}
    return {"content": [{"type": "text", "text": "done"}]}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        tools = json.load(file)["tools"]
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": result(request["method"], tools)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
