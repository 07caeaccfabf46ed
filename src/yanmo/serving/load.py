"""What the server is doing at this moment, as the page shows it: /api/load."""

from __future__ import annotations

from typing import Any

from yanmo.machine import available_memory_bytes, resident_memory_bytes
from yanmo.serving.errand import Service


def load_now(service: Service) -> dict[str, Any]:
    """Requests and memory at this moment; memory in bytes.

    ``memory.process`` is None where the system does not say it, ``memory.budget`` where models have none.
    """
    held, key_values = service.catalog.bytes_in_memory(), service.batches.batch.memory
    return {
        "running": service.line.num_running + service.batches.batch.num_running,
        "waiting": sum(line.num_waiting for line in (service.loading, service.line, service.batches)),
        "max_waiting": service.limits.max_waiting,
        "memory": {
            "process": resident_memory_bytes(),
            "available": available_memory_bytes(),
            "models": sum(held.values()),
            "budget": service.catalog.memory_bytes,
            "key_values": key_values.used_bytes,
            "key_values_budget": key_values.budget_bytes,
        },
        "models": list(held),
    }
