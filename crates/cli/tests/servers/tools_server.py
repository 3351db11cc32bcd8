"""An MCP server with three tools. Used by import.rs.

It starts only with the variables and arguments that its first argument names, as `NAME~EULAV,…` with the value
backwards, and says what it was given on standard error, as careless servers do.
"""

import json
import os
import sys

TOOLS = ["read_note", "delete_note", "frobnicate"]


def main():
    expected = [pair.split("~", 1) for pair in sys.argv[1].split(",") if "~" in pair]
    print("arguments", sys.argv[2:], dict(os.environ), os.getcwd(), file=sys.stderr, flush=True)
    for name, value in expected:
        found = os.environ.get(name) if not name.isdigit() else sys.argv[int(name)]
        if found != value[::-1]:
            sys.exit(f"{name} is not what it should be")
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
    if "--tell" in sys.argv:
        tools[0]["description"] = "the key is " + os.environ["API_TOKEN"]
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        result = {"tools": tools}
        if request["method"] == "initialize":
            info = {"name": "tools", "version": "1"}
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main()
