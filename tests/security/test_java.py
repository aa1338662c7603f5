"""ScienceWorld's Java process listens on loopback alone and asks for a token."""

from __future__ import annotations

from contextlib import closing

import psutil
import pytest

from trajgen.worlds.scienceworld.server import Server


@pytest.mark.slow
def test_the_java_process_answers_only_who_knows_its_token() -> None:
    pytest.importorskip("scienceworld")
    from py4j.java_gateway import GatewayParameters, JavaGateway
    from py4j.protocol import Py4JError

    with closing(Server()) as server:
        server.simulation()
        java = psutil.Process(server._process.pid)
        (at,) = [c.laddr for c in java.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert at.ip in ("127.0.0.1", "::ffff:127.0.0.1", "::1")
        token = server._gateway.gateway_parameters.auth_token
        assert len(token) > 30
        assert not [part for part in java.cmdline() if token in part]
        for wrong in (None, "x" * len(token)):
            stranger = JavaGateway(
                gateway_parameters=GatewayParameters(port=at.port, auth_token=wrong)
            )
            with pytest.raises(Py4JError):
                stranger.jvm.java.lang.System.getProperty("user.home")
            stranger.close()
        assert server.simulation() is not None
