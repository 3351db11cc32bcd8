"""The Python client of the matrix: takes one job as JSON, prints what it saw as JSON."""

import asyncio
import json
import sys

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client


def plain(result):
    return result.model_dump(mode="json", by_alias=True, exclude_unset=True)


async def told(progress, total, message):
    """Whoever asks for progress can be kept waiting."""


async def ask(client, method, params, progress):
    match method:
        case "tools/call":
            return await client.call_tool(params["name"], params["arguments"], progress_callback=told if progress else None)
        case "prompts/list":
            return await client.list_prompts()
        case "prompts/get":
            return await client.get_prompt(params["name"])
        case "resources/list":
            return await client.list_resources()
        case "resources/read":
            return await client.read_resource(params["uri"])


def transport(server, nowhere):
    if "url" in server:
        return streamable_http_client(server["url"])
    return stdio_client(StdioServerParameters(**server), errlog=nowhere)


async def drive(job):
    with open("/dev/null", "w") as nowhere:
        async with Client(transport(job["server"], nowhere), mode=job["mode"]) as client:
            tools = plain(await client.list_tools())["tools"]
            results = [plain(await ask(client, *asked, job.get("progress"))) for asked in job["asks"]]
            return {"version": client.protocol_version, "tools": tools, "results": results}


print(json.dumps(asyncio.run(drive(json.loads(sys.argv[1])))))
