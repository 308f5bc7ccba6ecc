"""Start method of data-loading workers."""

import multiprocessing


def worker_method() -> str | None:
    """Return fork where Python would start workers by forkserver, else None for its own choice.

    Forkserver is the default of Linux since Python 3.14. Its workers import torch again at every
    epoch; those that are forked do not (docs/host.md has the cost). Fork is safe for data loading:
    workers do not use CUDA, torch gives them one thread, and LMDB environments are opened again. A
    method that was set before is kept, and so is spawn, the default where fork is not safe or
    missing.
    """
    if multiprocessing.get_start_method(allow_none=True) is not None:
        return None
    # The first is the platform's default; asking for it does not fix it.
    default, *others = multiprocessing.get_all_start_methods()
    return "fork" if default == "forkserver" and "fork" in others else None
