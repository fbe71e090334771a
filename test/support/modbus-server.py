"""Modbus servers made of pymodbus, for tests. Each line of the standard input starts one, or kills it:

    {"id": 1, "kind": "tcp" | "rtu-tcp" | "serial", "port": 5020, "path": "/dev/pts/3", "baud_rate": 115200,
     "units": {"1": [{"function": 3, "address": 100, "type": "float32", "order": "CDAB", "value": 230.1}, ...]}}
    {"kill": 1}

and on the standard output comes "1 serves", "1 failed: why" or "1 ended". Each is a process of its own, forked from this one,
since pymodbus takes half a second of the processor to load; all end with it.

Values are encoded by pymodbus, not by us. A register is only there when it is named; a request for another is answered
with exception 2. An entry of type "exception" answers with that code; a bit has type "bit". A unit that is not named does
not answer at all.
"""
import sys

# What is compiled of all this is kept beside it for the next time; Debian's packages come without.
sys.dont_write_bytecode = False

import asyncio
import json
import os
import signal

from pymodbus.constants import Endian
from pymodbus.datastore import ModbusServerContext, ModbusSlaveContext, ModbusSparseDataBlock
from pymodbus.payload import BinaryPayloadBuilder
from pymodbus.pdu import ExceptionResponse
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer

ORDERS = {
    "ABCD": (Endian.Big, Endian.Big),
    "CDAB": (Endian.Big, Endian.Little),
    "BADC": (Endian.Little, Endian.Big),
    "DCBA": (Endian.Little, Endian.Little),
}
ADDERS = {
    "int16": "add_16bit_int",
    "uint16": "add_16bit_uint",
    "int32": "add_32bit_int",
    "uint32": "add_32bit_uint",
    "int64": "add_64bit_int",
    "uint64": "add_64bit_uint",
    "float32": "add_32bit_float",
    "float64": "add_64bit_float",
}
TABLES = {1: "co", 2: "di", 3: "hr", 4: "ir"}

# The exception that the request being answered is to get; requests are answered one after the other.
wanted_exception = None


class Block(ModbusSparseDataBlock):
    def __init__(self, values, exceptions):
        super().__init__(values or {70000: 0})
        self.exceptions = exceptions

    def validate(self, address, count=1):
        global wanted_exception
        for at in range(address, address + count):
            wanted_exception = self.exceptions.get(at, wanted_exception)
        return super().validate(address, count)


def registers_of(entry):
    byteorder, wordorder = ORDERS[entry.get("order", "ABCD")]
    builder = BinaryPayloadBuilder(byteorder=byteorder, wordorder=wordorder)
    value = entry["value"]
    if isinstance(value, str):
        value = float(value) if entry["type"].startswith("float") else int(value)
    getattr(builder, ADDERS[entry["type"]])(value)
    return builder.to_registers()


def slave(entries):
    values = {function: {} for function in TABLES}
    exceptions = {function: {} for function in TABLES}
    for entry in entries:
        function, address = entry["function"], entry["address"]
        if entry["type"] == "exception":
            exceptions[function][address] = entry["value"]
            values[function][address] = 0
        elif entry["type"] == "bit":
            values[function][address] = bool(entry["value"])
        else:
            for index, register in enumerate(registers_of(entry)):
                values[function][address + index] = register
    blocks = {TABLES[function]: Block(values[function], exceptions[function]) for function in TABLES}
    return ModbusSlaveContext(**blocks, zero_mode=True)


def answer(response):
    global wanted_exception
    code, wanted_exception = wanted_exception, None
    if code is None:
        return response, False
    exception = ExceptionResponse(response.function_code & 0x7F, code)
    exception.transaction_id = response.transaction_id
    exception.unit_id = response.unit_id
    return exception, False


async def serve(settings):
    slaves = {int(unit): slave(entries) for unit, entries in settings["units"].items()}
    options = {
        "context": ModbusServerContext(slaves=slaves, single=False),
        "ignore_missing_slaves": True,
        "response_manipulator": answer,
        "defer_start": True,
    }
    if settings["kind"] == "serial":
        server = await StartAsyncSerialServer(
            **options, framer=ModbusRtuFramer, port=settings["path"], baudrate=settings["baud_rate"], timeout=0
        )
        await server.start()
    else:
        framer = ModbusSocketFramer if settings["kind"] == "tcp" else ModbusRtuFramer
        place = {"address": ("127.0.0.1", settings["port"]), "allow_reuse_address": True}
        server = await StartAsyncTcpServer(**options, **place, framer=framer)
    serving = asyncio.ensure_future(server.serve_forever())
    if settings["kind"] != "serial":
        await asyncio.wait({serving, asyncio.ensure_future(server.serving)}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
    say(settings["id"], "serves")
    await serving


def say(id, what):
    os.write(1, f"{id} {what}\n".encode())


async def serve_until_closed(settings, life):
    asyncio.get_running_loop().add_reader(life, os._exit, 0)
    await serve(settings)


def main():
    servers = {}
    # Nothing is ever written: it is closed when this process ends, however it does.
    life, life_here = os.pipe()
    for line in sys.stdin:
        order = json.loads(line)
        if "kill" in order:
            server = servers.pop(order["kill"])
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)
            say(order["kill"], "ended")
            continue
        server = os.fork()
        if server != 0:
            servers[order["id"]] = server
            continue
        try:
            os.close(life_here)
            asyncio.run(serve_until_closed(order, life))
        except BaseException as error:
            say(order["id"], f"failed: {error!r}")
        finally:
            os._exit(1)


main()
