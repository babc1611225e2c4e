"""The machine and the build of this agent: `/v1/agent/host`, `/v1/agent/version`.

Source: https://developer.hashicorp.com/consul/api-docs/agent, the fields of `gopsutil`.
"""

import os
import platform
import shutil
import time
from pathlib import Path

from quorate.base.versions import BUILD_DATE
from quorate.gateways.http.context import Context
from quorate.gateways.http.params import Params
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request

_MEMORY = Path("/proc/meminfo")
_UPTIME = Path("/proc/uptime")


def version(context: Context, request: Request, _: Params, __: bytes) -> None:
    """The versions of the API and of this program."""
    config = context.config
    body = {
        "SHA": f"quorate-{config.version}",
        "BuildDate": BUILD_DATE,
        "HumanVersion": config.consul_version,
        "FIPS": "",
    }
    context.responses.value(request, body)


def host(context: Context, request: Request, _: Params, __: bytes) -> None:
    """Memory, processors, system and disk of this machine; what cannot be read is in `Errors`."""
    errors: list[str] = []
    body = {
        "Memory": _memory(errors),
        "CPU": _processors(),
        "Host": _system(errors),
        "Disk": _disk(context.config.spool_dir or ".", errors),
        "CollectionTime": time.time_ns(),
        "Errors": errors or None,
    }
    context.responses.value(request, body)


def _read(path: Path, errors: list[str]) -> str:
    try:
        return path.read_text()
    except OSError as error:  # no Linux, or a container without it
        errors.append(f"{path}: {error.strerror}")
        return ""


def _memory(errors: list[str]) -> JsonView:
    lines = (line.split() for line in _read(_MEMORY, errors).splitlines())
    found = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3}
    if "MemTotal" not in found:
        return {}
    total, available = found["MemTotal"], found.get("MemAvailable", found.get("MemFree", 0))
    return {
        "total": total,
        "available": available,
        "used": total - available,
        "usedPercent": _percent(total - available, total),
        "free": found.get("MemFree", 0),
    }


def _processors() -> list[JsonView]:
    model = platform.processor() or platform.machine()
    return [
        {"cpu": number, "modelName": model, "cores": 1} for number in range(os.cpu_count() or 1)
    ]


def _system(errors: list[str]) -> JsonView:
    words = _read(_UPTIME, errors).split()
    uptime_s = int(float(words[0])) if words else 0
    system = platform.uname()
    return {
        "hostname": system.node,
        "uptime": uptime_s,
        "bootTime": int(time.time()) - uptime_s,
        "os": system.system.lower(),
        "platform": system.system.lower(),
        "kernelVersion": system.release,
        "kernelArch": system.machine,
    }


def _disk(path: str, errors: list[str]) -> JsonView:
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        errors.append(f"{path}: {error.strerror}")
        return {}
    return {
        "path": path,
        "total": usage.total,
        "free": usage.free,
        "used": usage.used,
        "usedPercent": _percent(usage.used, usage.total),
    }


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
