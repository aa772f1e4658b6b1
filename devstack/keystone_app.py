"""keystone's application under waitress: `PYTHON keystone_app.py ADDRESS PORT`, in the environment it is installed in.

keystone reads its own options from the command line when it is loaded, so waitress's own program cannot serve it.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Serve until a signal."""
    address, port = sys.argv[1:]
    del sys.argv[1:]
    # oslo.service, which oslo.messaging loads, would else take eventlet.
    sys.modules["eventlet"] = None  # type: ignore[assignment]
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
    import waitress
    from keystone.wsgi.api import application

    waitress.serve(application, host=address, port=int(port), threads=4, ident="")


if __name__ == "__main__":
    main()
