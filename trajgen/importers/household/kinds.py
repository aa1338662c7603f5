"""What there is in a house: kinds of rooms, places and things, as tables."""

from __future__ import annotations

from typing import NamedTuple

START = "hallway_1"  # where every job begins
SINK, FRIDGE, MICROWAVE, STOVE = "sink_1", "fridge_1", "microwave_1", "stove_1"

ROOMS: dict[str, tuple[str, ...]] = {
    "hallway": ("bench", "basket", "lamp", "shelf"),
    "kitchen": ("counter", "table", "cabinet", "drawer", "shelf", "basket", "cabinet", "drawer"),
    "living room": ("sofa", "shelf", "lamp", "table", "armchair", "chest", "radio", "cabinet"),
    "bedroom": ("bed", "desk", "dresser", "lamp", "wardrobe", "nightstand", "chest"),
    "bathroom": ("sink", "cabinet", "basket", "bathtub", "stool", "shelf"),
    "study": ("desk", "shelf", "lamp", "drawer", "cabinet", "armchair"),
    "pantry": ("shelf", "cabinet", "basket", "crate", "fridge"),
    "garage": ("bench", "shelf", "cabinet", "chest", "crate", "lamp"),
    "laundry": ("sink", "basket", "shelf", "wardrobe", "table"),
    "dining room": ("table", "cabinet", "lamp", "bench", "drawer"),
    "nursery": ("bed", "chest", "dresser", "lamp", "basket", "fan"),
    "attic": ("chest", "crate", "shelf", "lamp", "wardrobe"),
}
DOORS = ("fridge", "microwave", "cabinet", "drawer", "dresser", "chest", "wardrobe")
LOCKS = ("cabinet", "drawer", "chest", "wardrobe")
SWITCHES = ("stove", "lamp", "radio", "fan")
USES = {"sink": "wash", "fridge": "cool", "microwave": "heat", "stove": "heat"}
INSIDE = (*DOORS, "sink", "basket", "crate", "bathtub", "hallway")  # one puts things in, not on


class Thing(NamedTuple):
    """What a kind of thing may be made of, and the kinds of places where one looks for it."""

    materials: tuple[str, ...]
    homes: tuple[str, ...]


_COOL = Thing(("food",), ("fridge",))
_LARDER = Thing(("food",), ("counter", "table", "basket", "shelf", "crate"))
_KITCHEN = ("cabinet", "counter", "table", "sink", "drawer")
_LIVING = ("shelf", "desk", "table", "sofa", "armchair", "nightstand", "drawer")
_CLOTHES = ("dresser", "wardrobe", "bed", "basket", "chest")
_TOOLS = ("drawer", "bench", "crate", "shelf", "hallway", "desk")

_FOODS = {
    **dict.fromkeys(("egg", "milk", "soup", "cheese", "pie", "salad", "stew", "butter"), _COOL),
    **dict.fromkeys(("apple", "bread", "potato", "tomato", "carrot", "pizza", "sandwich"), _LARDER),
}
_DISHES = {
    "mug": Thing(("ceramic", "ceramic", "steel", "plastic"), _KITCHEN),
    "cup": Thing(("ceramic", "steel", "paper", "plastic"), _KITCHEN),
    "plate": Thing(("ceramic", "ceramic", "plastic", "paper", "silver"), _KITCHEN),
    "bowl": Thing(("ceramic", "glass", "steel", "plastic", "wood"), _KITCHEN),
    "pan": Thing(("steel", "iron", "copper", "ceramic"), ("stove", *_KITCHEN)),
    "pot": Thing(("steel", "iron", "ceramic", "glass"), ("stove", *_KITCHEN)),
    "kettle": Thing(("steel", "copper"), ("stove", "counter")),
    "jug": Thing(("glass", "ceramic", "plastic", "copper"), _KITCHEN),
    "box": Thing(("plastic", "paper", "wood", "steel"), ("shelf", "crate", *_KITCHEN)),
    "tray": Thing(("aluminium", "plastic", "wood"), _KITCHEN),
    "bottle": Thing(("glass", "plastic", "aluminium"), ("fridge", "nightstand", *_KITCHEN)),
}
_OTHERS = {
    "glass": Thing(("glass",), _KITCHEN),
    **dict.fromkeys(("fork", "knife", "spoon"), Thing(("steel", "silver", "plastic"), _KITCHEN)),
    **dict.fromkeys(("book", "notebook", "card"), Thing(("paper",), _LIVING)),
    **dict.fromkeys(("pillow", "blanket"), Thing(("cloth",), ("bed", "sofa", "armchair"))),
    **dict.fromkeys(("shirt", "scarf"), Thing(("cloth",), _CLOTHES)),
    "hat": Thing(("cloth", "leather"), ("hallway", *_CLOTHES)),
    "shoe": Thing(("leather", "rubber"), ("hallway", "bench", "wardrobe")),
    "towel": Thing(("cloth",), ("bathtub", "stool", "sink", "basket", "cabinet")),
    "soap": Thing(("soap",), ("sink", "bathtub", "cabinet")),
    "brush": Thing(("wood", "plastic"), ("sink", "cabinet", "drawer")),
    "vase": Thing(("glass", "ceramic"), _LIVING),
    "candle": Thing(("wax",), _LIVING),
    "pen": Thing(("plastic", "steel"), _LIVING),
    "key": Thing(("steel", "copper"), _TOOLS),
    "scissors": Thing(("steel",), _TOOLS),
    "hammer": Thing(("iron", "steel"), _TOOLS),
    "toy": Thing(("wood", "plastic", "cloth"), ("chest", "basket", "bed", "sofa")),
    "ball": Thing(("rubber", "leather"), ("basket", "chest", "crate", "hallway")),
    "bag": Thing(("leather", "cloth", "paper"), ("hallway", "bench", "wardrobe", "stool")),
}
THINGS: dict[str, Thing] = {**_FOODS, **_DISHES, **_OTHERS}
FOOD = frozenset(_FOODS)
MEALS = FOOD | frozenset(_DISHES)  # what one heats or cools
METALS = frozenset({"steel", "iron", "copper", "aluminium", "silver"})
BURNS = frozenset({"plastic", "paper", "cloth"})  # and must not be heated on a stove
UNWASHED = frozenset({"paper", "soap", "food"})  # nobody asks to have these washed
