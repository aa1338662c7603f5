"""The airline domain of tau2: reservations, flights, payments and certificates."""

from __future__ import annotations

from collections.abc import Iterator

from trajgen.importers.tau2.kit import Action, Kit
from trajgen.importers.tau2.people import named_user
from trajgen.records import Json


def _reads(state: Json, user: str, action: Action) -> Iterator[Action]:
    yield Action("get_user_details", {"user_id": user})
    for reservation in state["users"].get(user, {}).get("reservations", ()):
        yield Action("get_reservation_details", {"reservation_id": reservation})
    legs = [
        leg
        for leg in action.arguments.get("flights", ())
        if leg["flight_number"] in state["flights"]
    ]
    for leg in legs:
        flight = state["flights"][leg["flight_number"]]
        route = {"origin": flight["origin"], "destination": flight["destination"]}
        yield Action("search_direct_flight", {**route, "date": leg["date"]})
    for expression in _sums(state, action.arguments, legs):
        yield Action("calculate", {"expression": expression})


def _sums(state: Json, arguments: dict[str, Json], legs: list[dict[str, Json]]) -> Iterator[str]:
    """How the amounts of a payment come about: fares and fees less the other payments."""
    if "payment_methods" in arguments:
        cabin, people = arguments["cabin"], len(arguments["passengers"])
        dates = [state["flights"][leg["flight_number"]]["dates"][leg["date"]] for leg in legs]
        fares = " + ".join(str(date["prices"][cabin]) for date in dates if "prices" in date)
        fees = [30 * people] if arguments["insurance"] == "yes" else []
        fees += [50 * arguments["nonfree_baggages"]] if arguments["nonfree_baggages"] else []
        total = " + ".join([f"({fares}) * {people}" if people > 1 else fares, *map(str, fees)])
        for paid in arguments["payment_methods"]:
            others = [p["amount"] for p in arguments["payment_methods"] if p is not paid]
            yield " - ".join([total, *map(str, others)])
    elif "amount" in arguments:  # compensation: 50 dollars a passenger, 100 when cancelled
        yield from (f"{rate} * {arguments['amount'] // rate}" for rate in (50, 100))


def _needs(state: Json, user: str, action: Action, said: str) -> Iterator[Action]:
    for reservation in state["users"].get(user, {}).get("reservations", ()):
        flights = state["reservations"][reservation]["flights"]
        named = any(flight["flight_number"] in said for flight in flights)
        about = action.arguments.get("reservation_id") == reservation
        if about or (action.tool == "send_certificate" and named):
            yield Action("get_reservation_details", {"reservation_id": reservation})


def _words(state: Json, arguments: dict[str, Json]) -> dict[str, Json]:
    lists = {
        key: " and ".join(form.format_map(item) for item in arguments[key])
        for key, form in _FORMS.items()
        if key in arguments
    }
    return {**arguments, **lists}


_FORMS = {
    "flights": "{flight_number} ({date})",
    "passengers": "{first_name} {last_name}",
    "payment_methods": "${amount} on {payment_id}",
}

KIT = Kit(
    "An airline's customer service: bookings, changes, cancellations and compensation.",
    _reads,
    _needs,
    _words,
    phrases={
        "book_reservation": "a {flight_type} trip from {origin} to {destination} booked in "
        "{cabin} for {passengers} on {flights}, paid with {payment_methods}, bags: "
        "{total_baggages} ({nonfree_baggages} paid), insurance: {insurance}",
        "cancel_reservation": "reservation {reservation_id} cancelled",
        "send_certificate": "a certificate of ${amount} sent to {user_id}",
        "update_reservation_baggages": "reservation {reservation_id} with {total_baggages} "
        "checked bags ({nonfree_baggages} paid), on {payment_id}",
        "update_reservation_flights": "reservation {reservation_id} in {cabin} on {flights}, "
        "the difference on {payment_id}",
        "update_reservation_passengers": "reservation {reservation_id} for {passengers}",
    },
    findings={
        "reservation_id": "reservation {reservation_id}: {cabin}, booked {created_at}, "
        "insurance: {insurance}",
        "membership": "membership: {membership}",
    },
    user=named_user,
)
