"""An MCP server that writes every call it gets into a file before it answers. Used by kill.rs.

It holds a lock on `LOG.lock` while it lives, so that whoever gets the lock knows that it is gone.
"""

import fcntl
import json
import os
import sys

TOOL = {
    "name": "note",
    "description": "Notes a number.",
    "inputSchema": {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    },
}


def result(request, log):
    method = request["method"]
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        # One write of one line: a kill leaves it whole or not there.
        os.write(log, b"%d\n" % request["params"]["arguments"]["n"])
        return {"content": []}
    return {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "log", "version": "1"},
    }


def main():
    path = sys.argv[1]
    lock = os.open(path + ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if "id" in request:
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": result(request, log)}
            sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
