"""The telecom domain of tau2: a carrier's lines and bills, and the user's own phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trajgen.importers.tau2.kit import Action, Kit
from trajgen.records import Json


def _user(state: Json, actions: list[Action], text: str) -> str:
    line = _line(state, text)
    customers = state["customers"].items()
    return next((str(key) for key, c in customers if line and line["line_id"] in c["line_ids"]), "")


def _line(state: Json, text: str) -> Json:
    """The line whose number is named first, or None."""
    by_number = {line["phone_number"]: line for line in state["lines"].values()}
    named = re.findall(r"\d{3}-\d{3}-\d{4}", text)
    return next((by_number[number] for number in named if number in by_number), None)


def _reads(state: Json, user: str, action: Action) -> Iterator[Action]:
    customer = state["customers"].get(user, {})
    for name in (*customer.get("line_ids", ()), *customer.get("bill_ids", ())):
        yield Action("get_details_by_id", {"id": name})


def _needs(state: Json, user: str, action: Action, said: str) -> Iterator[Action]:
    """Who calls, how their line is, and for data how much of it is used; each read once."""
    if (line := _line(state, said)) is None:
        return
    if '"customer_id"' not in said:
        yield Action("get_customer_by_phone", {"phone_number": line["phone_number"]})
    if f'"line_id": "{line["line_id"]}", "phone_number"' not in said:
        yield Action("get_details_by_id", {"id": line["line_id"]})
    if action.tool == "refuel_data" and '"cycle_end_date"' not in said:
        names = {"customer_id": user, "line_id": line["line_id"]}
        yield Action("get_data_usage", names)


def _words(state: Json, arguments: dict[str, Json]) -> dict[str, Json]:
    line = state["lines"].get(arguments.get("line_id"), {})
    return {"number": line.get("phone_number", ""), **arguments}


def _checks(actions: list[Action], reason: str) -> tuple[list[Action], list[Action]]:
    """The state of the phone first; what is wrong, before and after."""
    names = ["check_network_status", "check_sim_status"]
    problem = "run_speed_test" if "mobile data is" in reason else "check_status_bar"
    problem = "can_send_mms" if "MMS" in reason else problem
    given_up = any(action.tool == "transfer_to_human_agents" for action in actions)
    first = [*names, "check_apn_settings"] if given_up else [problem, *names]
    return _looks(first), [] if given_up else _looks([problem])


def _looks(names: list[str]) -> list[Action]:
    return [Action(name, by="user") for name in names]


KIT = Kit(
    "A mobile carrier's customer service: lines, data, roaming and help with the phone.",
    _reads,
    _needs,
    _words,
    phrases={
        "disable_roaming": "roaming switched off for line {line_id} ({number})",
        "enable_roaming": "roaming switched on for line {line_id} ({number})",
        "refuel_data": "{gb_amount} GB of data added to line {line_id} ({number}), at the price "
        "of the plan",
        "resume_line": "line {line_id} ({number}) active again",
        "send_payment_request": "a request to pay bill {bill_id}",
        "suspend_line": "line {line_id} ({number}) suspended: {reason}",
    },
    findings={"line_id": "line {line_id}: {status}, roaming switched on: {roaming_enabled}"},
    user=_user,
    steps={
        "can_send_mms": "check in your messaging app whether you can send an MMS",
        "check_apn_settings": "look up the APN settings",
        "check_network_status": "look up the network status",
        "check_sim_status": "look up the status of the SIM card",
        "check_status_bar": "look at the status bar",
        "disconnect_vpn": "disconnect the VPN",
        "make_payment": "pay the bill",
        "grant_app_permission": "give the app {app_name} the permission {permission}",
        "reboot_device": "restart your phone",
        "reseat_sim_card": "take the SIM card out and put it back in",
        "reset_apn_settings": "reset the APN settings",
        "run_speed_test": "run a speed test",
        "set_network_mode_preference": "set the preferred network mode to {mode}",
        "toggle_airplane_mode": "switch airplane mode off",
        "toggle_data": "switch mobile data on",
        "toggle_data_saver_mode": "switch data saver mode off",
        "toggle_roaming": "switch data roaming on",
        "toggle_wifi_calling": "switch Wi-Fi calling off",
    },
    checks=_checks,
)
