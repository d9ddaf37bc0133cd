"""What can be wrong between the agent and its broker: one stable word for each, and a sentence that says what to do.

These words stand in `status.problems` and in what `check` prints. Telling them apart is this module's only business.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from enum import StrEnum

_EXPIRED = 10
_NOT_YET_VALID = 9
_WRONG_HOST = frozenset({62, 64})
"""X509_V_ERR_* of OpenSSL's x509_vfy.h: name and address mismatch. All others mean an unknown or broken signer."""


class Trouble(StrEnum):
    """The codes of problems that concern the broker."""

    UNREACHABLE = "broker_unreachable"
    NO_ANSWER = "broker_no_answer"
    LOST = "broker_lost"
    REFUSED = "broker_refused"
    CREDENTIALS = "broker_credentials"
    NOT_AUTHORISED = "broker_not_authorised"
    PROTOCOL = "broker_protocol"
    TLS_EXPIRED = "tls_expired"
    TLS_NOT_YET_VALID = "tls_not_yet_valid"
    TLS_WRONG_HOST = "tls_wrong_host"
    TLS_UNKNOWN_AUTHORITY = "tls_unknown_authority"
    TLS_CLIENT_REFUSED = "tls_client_refused"
    TLS_FILES = "tls_files"
    TLS_FAILED = "tls_failed"
    ACL_SUBSCRIBE = "acl_subscribe"
    ACL_PUBLISH = "acl_publish"
    TOO_LARGE = "message_too_large"
    CLIENT_ID_TAKEN = "client_id_taken"
    DUPLICATE_DEVICE = "duplicate_device"
    FACTS_LOST = "events_lost"
    RETAINED_COMMAND = "retained_command"


class BrokerUnavailable(Exception):
    """There is no usable connection. `trouble` tells the cases apart, the text says what to do."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


def connect_trouble(error: OSError | ValueError, where: str) -> BrokerUnavailable:
    """Why no connection came about, from what the socket or TLS layer raised."""
    match error:
        case ssl.SSLCertVerificationError():
            return _certificate_trouble(error, where)
        case ssl.SSLError():
            return tls_trouble(str(error), where)
        case TimeoutError():
            return BrokerUnavailable(Trouble.UNREACHABLE, f"{where} does not answer; check the network and mqtt.host")
        case ConnectionRefusedError():
            return BrokerUnavailable(
                Trouble.UNREACHABLE, f"{where} refuses connections; check that a broker runs there"
            )
        case _:
            return BrokerUnavailable(
                Trouble.UNREACHABLE, f"{where} cannot be reached ({error}); check mqtt.host and the network"
            )


def tls_trouble(text: str, where: str) -> BrokerUnavailable:
    """Why TLS failed, from OpenSSL's words, which come as an exception or in paho's log."""
    lower = text.lower()
    if "wrong version number" in lower or "record layer failure" in lower:
        return BrokerUnavailable(
            Trouble.TLS_FAILED, f"{where} does not speak TLS; set mqtt.port to its TLS port or mqtt.tls = false"
        )
    if "alert" in lower:
        return BrokerUnavailable(
            Trouble.TLS_CLIENT_REFUSED,
            f"{where} does not accept the client certificate ({text}); check mqtt.cert_file and mqtt.key_file",
        )
    return BrokerUnavailable(Trouble.TLS_FAILED, f"TLS with {where} failed ({text}); check that this is its TLS port")


def _certificate_trouble(error: ssl.SSLCertVerificationError, where: str) -> BrokerUnavailable:
    certificate = f"the certificate of {where}"
    match error.verify_code:
        case code if code == _EXPIRED:
            return BrokerUnavailable(Trouble.TLS_EXPIRED, f"{certificate} has expired; renew it on the broker")
        case code if code == _NOT_YET_VALID:
            return BrokerUnavailable(
                Trouble.TLS_NOT_YET_VALID,
                f"{certificate} is not valid yet; check this machine's clock, then the certificate",
            )
        case code if code in _WRONG_HOST:
            return BrokerUnavailable(
                Trouble.TLS_WRONG_HOST, f"{certificate} is made for another host; set mqtt.host to a name that it holds"
            )
        case _:
            return BrokerUnavailable(
                Trouble.TLS_UNKNOWN_AUTHORITY,
                f"{certificate} is not signed by a known authority ({error.verify_message}); set mqtt.ca_file",
            )


def connack_trouble(reason: str, username: str | None) -> BrokerUnavailable:
    """Why the broker said no, from the name of its CONNACK code."""
    who = f"user {username!r}" if username else "a client without user name"
    match reason:
        case "Bad user name or password":
            return BrokerUnavailable(
                Trouble.CREDENTIALS, f"the broker does not know {who} with this password; check mqtt.username"
            )
        case "Not authorized" | "Banned" | "Bad authentication method":
            return BrokerUnavailable(
                Trouble.NOT_AUTHORISED,
                f"the broker does not let {who} in ({reason}); check mqtt.username, the password and its access rules",
            )
        case "Unsupported protocol version":
            return BrokerUnavailable(Trouble.PROTOCOL, 'the broker has no MQTT 5; set mqtt.protocol = "3.1.1"')
        case _:
            return BrokerUnavailable(Trouble.REFUSED, f"the broker refuses the connection: {reason}")


def disconnect_trouble(reason: str, where: str) -> BrokerUnavailable:
    """Why an open connection ended, from the name of the DISCONNECT code or of paho's own finding."""
    match reason:
        case "Session taken over":
            return BrokerUnavailable(Trouble.CLIENT_ID_TAKEN, "another client took this agent's MQTT client id")
        case "Keep alive timeout":
            return BrokerUnavailable(Trouble.LOST, f"{where} fell silent; check the network")
        case "Not authorized":
            return BrokerUnavailable(Trouble.NOT_AUTHORISED, "the broker withdrew its permission to be connected")
        case "Unspecified error":
            return BrokerUnavailable(Trouble.LOST, f"the connection to {where} broke")
        case _:
            return BrokerUnavailable(Trouble.LOST, f"{where} ended the connection: {reason}")


def silence(where: str, *, reached: bool) -> BrokerUnavailable:
    """The time for connecting is over; `reached` says whether there was a TCP (and TLS) connection by then."""
    if reached:
        return BrokerUnavailable(
            Trouble.NO_ANSWER, f"{where} accepts connections and then does not answer; check what listens there"
        )
    return BrokerUnavailable(
        Trouble.UNREACHABLE, f"{where} cannot be reached in time; check the network and the name server"
    )


def not_mqtt(where: str) -> BrokerUnavailable:
    """The peer ended the connection in place of a CONNACK."""
    return BrokerUnavailable(
        Trouble.REFUSED, f"{where} answers no MQTT; check mqtt.port, mqtt.tls, and that it is a broker"
    )


def subscription_trouble(refused: Mapping[str, str]) -> str:
    """What a refused subscription means, from filters and reasons."""
    text = ", ".join(f"{topic_filter} ({reason})" for topic_filter, reason in refused.items())
    return f"the broker refuses the subscription to {text}: commands do not arrive; check its access rules"
