"""signalling.py PORT - what carries the words of ICE between two sides: lines over TCP, by way of one host.

The first line of a client names its room; what it says from then on goes to the other one there, also what it
said before that one came.  When one leaves, the other one is let go.  Our own peers speak to their
coordinator over TCP at the same host, so that both kinds wait as long for each other's word.
"""

import asyncio
import sys

rooms = {}


async def serve(reader, writer):
    name = await reader.readline()
    mine = {"writer": writer, "early": [], "other": None}
    waiting = rooms.pop(name, None)
    if waiting is None:
        rooms[name] = mine
    else:
        mine["other"], waiting["other"] = waiting, mine
        writer.writelines(waiting["early"])
    while line := await reader.readline():
        if mine["other"]:
            mine["other"]["writer"].write(line)
        else:
            mine["early"].append(line)
    if rooms.get(name) is mine:
        del rooms[name]
    if mine["other"]:
        mine["other"]["writer"].close()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]))
    print('{"event":"ready"}', flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
