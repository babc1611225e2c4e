"""TLS for tests: nobody has a certificate, and what is sent cannot be read all the same."""

import ssl

from quorate.net.connector import Connector

_ANONYMOUS = "AECDH-AES256-SHA:@SECLEVEL=0"  # key exchange without certificates


def connector() -> Connector:
    return Connector(_context(ssl.PROTOCOL_TLS_SERVER), client_context())


def client_context() -> ssl.SSLContext:
    return _context(ssl.PROTOCOL_TLS_CLIENT)


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # later ones always have certificates
    context.set_ciphers(_ANONYMOUS)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
