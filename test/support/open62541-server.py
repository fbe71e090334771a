"""A server of open62541, called by ctypes: `open62541-server.py PORT`. It has what every server has, and no security."""

import ctypes
import sys

# Larger than UA_ServerConfig of 1.4 is; the functions of the library fill it.
CONFIG_BYTES = 65536

library = ctypes.CDLL("libopen62541.so.1.4")
library.UA_Server_newWithConfig.restype = ctypes.c_void_p
config = ctypes.create_string_buffer(CONFIG_BYTES)
status = library.UA_ServerConfig_setMinimalCustomBuffer(config, ctypes.c_uint16(int(sys.argv[1])), None, 0, 0)
if status != 0:
    sys.exit(f"the configuration cannot be made: {status:#x}")
server = ctypes.c_void_p(library.UA_Server_newWithConfig(config))
status = library.UA_Server_run_startup(server)
if status != 0:
    sys.exit(f"the server cannot start: {status:#x}")
print("ready", flush=True)
while True:
    library.UA_Server_run_iterate(server, True)
