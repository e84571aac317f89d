"""What NetworkPolicies allow, worked out from their text as the API's documentation defines it.

There is no network plugin here that would enforce them, so this reads them: a pod that no policy
selects for a direction may do everything in it; else what some rule of some selecting policy
allows, and nothing more. A connection needs the sender's egress and the receiver's ingress.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Policy = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A pod, or with no labels an address outside the cluster's pods."""

    name: str
    ip: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace: str = ""
    namespace_labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    ports: Mapping[str, int] = field(default_factory=dict, hash=False)
    """names of container ports"""


def allowed(
    policies: Iterable[Policy], sender: Peer, receiver: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Whether the sender may open a connection to this port of the receiver."""
    policies = list(policies)
    return _direction(policies, "Egress", sender, receiver, receiver, port, protocol) and (
        _direction(policies, "Ingress", receiver, sender, receiver, port, protocol)
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector fits."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for term in selector.get("matchExpressions", ()):
        key, operator, values = term["key"], term["operator"], term.get("values", ())
        fits = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[operator]
        if not fits:
            return False
    return True


def _direction(
    policies: list[Policy],
    direction: str,
    subject: Peer,
    other: Peer,
    receiver: Peer,
    port: int,
    protocol: str,
) -> bool:
    selecting = [
        policy["spec"]
        for policy in policies
        if subject.namespace
        and policy["metadata"]["namespace"] == subject.namespace
        and direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], subject.labels)
    ]
    if not selecting:
        return True
    peers = {"Egress": "to", "Ingress": "from"}[direction]
    return any(
        _peers_fit(rule.get(peers), other, subject.namespace)
        and _ports_fit(rule.get("ports"), receiver, port, protocol)
        for spec in selecting
        for rule in spec.get(direction.lower(), ())
    )


def _peers_fit(peers: list[dict[str, Any]] | None, other: Peer, own_namespace: str) -> bool:
    if not peers:  # no list: everybody
        return True
    for peer in peers:
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            if _inside(other.ip, block["cidr"]) and not any(
                _inside(other.ip, hole) for hole in block.get("except", ())
            ):
                return True
            continue
        if not other.namespace:
            continue
        if "namespaceSelector" in peer:
            if not selects(peer["namespaceSelector"], other.namespace_labels):
                continue
        elif other.namespace != own_namespace:
            continue
        if selects(peer.get("podSelector", {}), other.labels):
            return True
    return False


def _ports_fit(
    ports: list[dict[str, Any]] | None, receiver: Peer, port: int, protocol: str
) -> bool:
    if not ports:
        return True
    for entry in ports:
        number = entry.get("port")
        if isinstance(number, str):
            number = receiver.ports.get(number, -1)
        last = entry.get("endPort", number)
        if entry.get("protocol", "TCP") == protocol and (number is None or number <= port <= last):
            return True
    return False


def _inside(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)
