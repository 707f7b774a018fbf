"""For HTTP clients of servers on this machine.

httpx loads the CA certificates of the system for every new client, also where all its requests use plain HTTP: 25 ms of
CPU time, for example for each probe of a program that starts.
"""

import ssl

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The `verify` of such a client: no server is trusted over HTTPS."""
