"""Which TXT records does a name have?

By the machine's own resolvers, or by the one that is named. That a name does not exist, or has no such record, is an answer; that nobody answers is none.
"""

import ipaddress
from collections.abc import Sequence
from datetime import timedelta

from dns.exception import DNSException
from dns.name import LabelTooLong, NameTooLong
from dns.resolver import NXDOMAIN, NoAnswer, NoResolverConfiguration, Resolver

from dripiq.domain.errors import ConfigurationError, DripiqError

PATIENCE = timedelta(seconds=10)


class TextRecords:
    """Looks up TXT records; CNAMEs are followed.

    Args:
        server: `host:port` (an IP address; `[::1]:53`); None for the machine's resolvers.

    Raises:
        ConfigurationError: `dns_server` when `server` is none; `no_resolver` when the machine has none.
    """

    def __init__(self, server: str | None = None, *, patience: timedelta = PATIENCE) -> None:
        try:
            self._resolver = Resolver(configure=server is None)
        except NoResolverConfiguration:
            raise ConfigurationError(
                "This machine names no DNS resolver: set DRIPIQ_DNS_SERVER to one, as in 9.9.9.9:53.",
                code="no_resolver",
            ) from None
        self._resolver.lifetime = patience.total_seconds()
        if server is not None:
            host, _, port = server.rpartition(":")
            try:
                address = str(ipaddress.ip_address(host.strip("[]")))
                self._resolver.nameservers = [address]
                self._resolver.port = int(port)
            except ValueError:
                raise ConfigurationError(
                    "DRIPIQ_DNS_SERVER must be an address and a port, as in 127.0.0.1:53.", code="dns_server"
                ) from None

    def of(self, name: str) -> Sequence[str]:
        """The texts of a name's TXT records, each put together from its strings (RFC 7208, 3.3); none where there are none.

        Raises:
            DripiqError: `dns_failed` when nobody answers, or with an error.
        """
        try:
            answer = self._resolver.resolve(name, "TXT", search=False)
        except (NXDOMAIN, NoAnswer, LabelTooLong, NameTooLong):
            return ()
        except (DNSException, UnicodeError, OSError) as error:
            raise DripiqError(
                f"{name} could not be looked up ({type(error).__name__}): see that DNS works from here, and try again.",
                code="dns_failed",
                facts={"name": name},
            ) from None
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
