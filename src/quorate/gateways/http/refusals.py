"""Answers that a connection gives by itself, as bytes, before any handler is asked."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BAD = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"X-Quorate-Error: bad_request\r\nX-Quorate-Definite: true\r\n"
    b"Content-Length: 15\r\n\r\n400 Bad Request"
)
VERSION = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"X-Quorate-Error: unsupported\r\nX-Quorate-Definite: true\r\n"
    b"Content-Length: 30\r\n\r\n505 HTTP Version Not Supported"
)
CODING = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"X-Quorate-Error: unsupported\r\nX-Quorate-Definite: true\r\n"
    b"Content-Length: 29\r\n\r\nUnsupported transfer encoding"
)
SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LONG_HEADERS = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"X-Quorate-Error: too_large\r\nX-Quorate-Definite: true\r\n"
    b"Content-Length: 35\r\n\r\n431 Request Header Fields Too Large"
)
CROWDED = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"X-Quorate-Error: overloaded\r\nX-Quorate-Definite: true\r\nRetry-After: 1\r\n"
    b"Content-Length: 38\r\nConnection: close\r\n\r\nToo many connections from this address"
)
FULL = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"X-Quorate-Error: overloaded\r\nX-Quorate-Definite: true\r\nRetry-After: 1\r\n"
    b"Content-Length: 33\r\nConnection: close\r\n\r\n"
    b"Too many connections to this node"
)
SPENT_TEXT = (
    "Too much is held in memory for this client, or for all: read the answers that wait, or ask "
    "for less at once. See quorate.limits.http_client_bytes_max and http_held_bytes_max."
)
SPENT = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"X-Quorate-Error: overloaded\r\nX-Quorate-Definite: true\r\nRetry-After: 1\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(SPENT_TEXT), SPENT_TEXT.encode())
)
