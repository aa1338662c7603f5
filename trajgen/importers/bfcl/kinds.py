"""Which functions of BFCL's APIs only read. All others may change the state of their API."""

from __future__ import annotations

from collections.abc import Sequence

from trajgen.records import Tool, ToolKind

READS = frozenset(
    # GorillaFileSystem
    {"cat", "diff", "du", "find", "grep", "ls", "pwd", "sort", "tail", "wc"}
    # MathAPI
    | {"absolute_value", "add", "divide", "imperial_si_conversion", "logarithm", "max_value"}
    | {"mean", "min_value", "multiply", "percentage", "power", "round_number", "square_root"}
    | {"si_unit_conversion", "standard_deviation", "subtract", "sum_values"}
    # MessageAPI
    | {"get_message_stats", "get_user_id", "list_users", "message_get_login_status"}
    | {"search_messages", "view_messages_sent"}
    # TicketAPI
    | {"get_ticket", "get_user_tickets", "ticket_get_login_status"}
    # TradingBot
    | {"filter_stocks_by_price", "get_account_info", "get_available_stocks", "get_current_time"}
    | {"get_order_details", "get_order_history", "get_stock_info", "get_symbol_by_name"}
    | {"get_transaction_history", "get_watchlist", "notify_price_change"}
    | {"trading_get_login_status"}
    # TravelAPI
    | {"compute_exchange_rate", "get_all_credit_cards", "get_booking_history"}
    | {"get_budget_fiscal_year", "get_credit_card_balance", "get_flight_cost"}
    | {"get_nearest_airport_by_city", "list_all_airports", "retrieve_invoice"}
    | {"travel_get_login_status", "verify_traveler_information"}
    # TwitterAPI
    | {"get_tweet", "get_tweet_comments", "get_user_stats", "get_user_tweets"}
    | {"list_all_following", "posting_get_login_status", "search_tweets"}
    # VehicleControlAPI
    | {"check_tire_pressure", "displayCarStatus", "display_log", "estimate_distance"}
    | {"estimate_drive_feasibility_by_mileage", "find_nearest_tire_shop", "gallon_to_liter"}
    | {"get_current_speed", "get_outside_temperature_from_google"}
    | {"get_outside_temperature_from_weather_com", "get_zipcode_based_on_city"}
    | {"liter_to_gallon"}
)
# Reads that show what is there, in the order to try them.
SHOWS: tuple[tuple[str, dict[str, bool]], ...] = (
    ("ls", {"a": True}),
    ("find", {}),
    ("get_order_history", {}),
    ("get_watchlist", {}),
    ("get_booking_history", {}),
    ("get_all_credit_cards", {}),
    ("get_user_tickets", {}),
    ("view_messages_sent", {}),
    ("list_users", {}),
)


def kinds(tools: Sequence[Tool]) -> dict[str, ToolKind]:
    """Tool name -> read or write."""
    names = [tool["function"]["name"] for tool in tools]
    return {name: "read" if name in READS else "write" for name in names}
