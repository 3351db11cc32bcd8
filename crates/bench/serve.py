#!/usr/bin/env python3
"""Prints what a gateway adds to a call over HTTP: the direct connection, a byte relay, refmon, and peers, in one run.

    cargo build --release -p refmon && cargo build --release -p refmon-bench --bench relay
    crates/bench/serve.py --load-client DIR [--peers DIR] [--sessions 1,16,256,1024] [--json FILE]

DIR holds the programs `mcpload` (a load client for MCP) and `mcpecho` (an echo server for MCP). The folder of --peers has
`node_modules/.bin/supergateway` and `v/bin/python` with fastmcp; what is not there is left out, and said so.

Everything runs on one core (`taskset`), so that figures repeat: client, gateway and server share it. Two refmons run: one
with its journal in memory, which shows the gateway itself, and one with it on disk, where every call waits until its
record is durable.
"""

import argparse
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ECHO, RELAY, GATEWAY = 9810, 9811, 9820
# Calls of each session at most; a door that is slow gets fewer, so that a row takes some ten seconds.
CALLS, ROW_SECONDS = {1: 3000, 16: 400, 256: 24, 1024: 8}, 10


class Run:
    """Programs on one core, ended with the run."""

    def __init__(self, core):
        self.core, self.started = core, []

    def start(self, *command, **more):
        null = subprocess.DEVNULL
        command = ["taskset", "-c", str(self.core), *command]
        child = subprocess.Popen(command, stdout=null, stderr=null, stdin=null, start_new_session=True, **more)
        self.started.append(child)
        return child

    def end(self):
        for child in reversed(self.started):
            try:
                os.killpg(child.pid, signal.SIGTERM)
                child.wait(15)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(child.pid, signal.SIGKILL)
        self.started = []


def until_open(port):
    import socket

    for _ in range(300):
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nothing listens at port {port} after 30 s")


def refmon(run, load, port, under):
    """refmon in front of the echo server over HTTP, with the contract that `init` makes."""
    folder = tempfile.mkdtemp(prefix="refmon-bench-", dir=under)
    program = os.path.join(ROOT, "target/release/refmon")
    config = os.path.join(folder, "refmon.toml")
    init = [program, "--config", config, "init", "--yes", "--name", "echo", "--", f"{load}/mcpecho", "--stdio"]
    subprocess.run(init, check=True, capture_output=True)
    text = open(config).read()
    url = f'url = "http://127.0.0.1:{ECHO}/mcp"\nprivate = true'
    text = re.sub(r"command = \[[^\]]*\]", url, text)
    open(config, "w").write(f'{text}\n[listen]\nhttp = "127.0.0.1:{port}"\n')
    return run.start(program, "--config", config, "serve"), folder


def peers(run, folder, load, first):
    """Other gateways in front of the same echo server, or one of their own where they cannot do otherwise."""
    found = []
    supergateway = os.path.join(folder or "", "node_modules/.bin/supergateway")
    if folder and os.path.exists(supergateway):
        stdio = ["--stdio", f"{load}/mcpecho --stdio", "--outputTransport", "streamableHttp", "--stateful"]
        stdio += ["--port", str(first), "--streamableHttpPath", "/mcp", "--logLevel", "none"]
        found.append(("supergateway (stdio)", first, lambda: run.start(supergateway, *stdio)))
    python = os.path.join(folder or "", "v/bin/python")
    if folder and os.path.exists(python):
        code = (
            "from fastmcp.server import create_proxy\n"
            f"create_proxy('http://127.0.0.1:{ECHO}/mcp').run(transport='http', port={first + 1}, show_banner=False)"
        )
        found.append(("fastmcp proxy", first + 1, lambda: run.start(python, "-c", code)))
    for name in ("supergateway", "fastmcp proxy"):
        if not any(known.startswith(name) for known, *_ in found):
            print(f"left out: {name}, which is not in --peers", file=sys.stderr)
    return found


def measure(load, core, port, sessions, pid, slowness):
    calls = CALLS.get(sessions, max(8, 4000 // sessions))
    if slowness:
        calls = max(2, min(calls, int(ROW_SECONDS * 1e6 / (slowness * sessions))))
    command = ["taskset", "-c", str(core), f"{load}/mcpload", "--http", f"http://127.0.0.1:{port}/mcp"]
    command += ["--sessions", str(sessions), "--calls", str(calls), "--warmup", str(min(50, calls)), "--timeout", "60"]
    if pid:
        command += ["--rss-pid", str(pid)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=540)
    lines = [line for line in out.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {"errors": calls * sessions, "note": out.stderr[-200:]}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--load-client", required=True, metavar="DIR")
    arguments.add_argument("--peers", metavar="DIR")
    arguments.add_argument("--sessions", default="1,16,256,1024")
    arguments.add_argument("--core", type=int, default=0)
    arguments.add_argument("--json", metavar="FILE")
    options = arguments.parse_args()
    load = os.path.abspath(options.load_client)
    relay = max(glob.glob(os.path.join(ROOT, "target/release/deps/relay-*[!.d]")), key=os.path.getmtime, default=None)
    if not relay:
        sys.exit("build the relay first: cargo build --release -p refmon-bench --bench relay")
    run, folders, rows = Run(options.core), [], []
    try:
        run.start(f"{load}/mcpecho", "--http", f"127.0.0.1:{ECHO}", "--sessions")
        until_open(ECHO)

        def start_refmon(under, port):
            child, folder = refmon(run, load, port, under)
            folders.append(folder)
            return child

        doors = [
            ("direct", ECHO, lambda: None),
            ("byte relay", RELAY, lambda: run.start(relay, f"127.0.0.1:{RELAY}", f"127.0.0.1:{ECHO}")),
            ("refmon, journal in memory", GATEWAY, lambda: start_refmon("/dev/shm", GATEWAY)),
            ("refmon, journal on disk", GATEWAY + 1, lambda: start_refmon(os.path.join(ROOT, "target"), GATEWAY + 1)),
            *peers(run, options.peers, load, GATEWAY + 10),
        ]
        opened = []
        for name, port, start in doors:
            child = start()
            until_open(port)
            first = measure(load, options.core, port, 1, None, 1e6)
            opened.append((name, port, child and child.pid, first.get("p50_us")))
        head = ("", "calls/s", "p50 us", "p99 us", "CPU us/call", "peak MiB", "errors", "relay's p50 x", "of its calls/s")
        for sessions in map(int, options.sessions.split(",")):
            print(f"\n{sessions} session{'s' * (sessions > 1)}")
            print("{:<28}{:>9}{:>10}{:>11}{:>13}{:>10}{:>8}{:>15}{:>16}".format(*head))
            base = None
            for name, port, pid, slowness in opened:
                row = measure(load, options.core, port, sessions, pid, slowness)
                rows.append({"door": name, "sessions": sessions, **row})
                if row.get("p50_us") is None:
                    print(f"{name:<28} no call came back ({row.get('errors')} errors) {row.get('note', '')}")
                    continue
                base = row if name == "byte relay" else base
                ratio = (row["p50_us"] / base["p50_us"], row["rps"] / base["rps"]) if base else (None, None)
                ratio = ["" if value is None else f"{value:.2f}" for value in ratio]
                cpu, peak = row.get("cpu_us_per_call", ""), row.get("peak_rss_mib", "")
                errors = row["errors"] + row.get("session_errors", 0)
                line = (name, row["rps"], row["p50_us"], row["p99_us"], cpu, peak, errors, *ratio)
                print("{:<28}{:>9}{:>10}{:>11}{:>13}{:>10}{:>8}{:>15}{:>16}".format(*line), flush=True)
    finally:
        run.end()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
