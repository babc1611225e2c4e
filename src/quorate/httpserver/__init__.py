"""An HTTP/1.1 server on asyncio that knows no API: it hands requests to an application."""
