"""What is known of image data sets without reading them: their classes, and their names on the hub."""

DIGITS = [str(digit) for digit in range(10)]
CIFAR10 = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]
CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100 = CIFAR100_NAMES.split()
# The folders of Imagenette are called by WordNet's numbers.
IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
# One class, one name, so that a model is tested on any copy of its data; the hub's CIFAR-100 has a typo.
ALIASES = {"imagenette": IMAGENETTE, "cifar100": {"cra": "crab"}}

# ImageNet's are a thousand, and every copy of it brings its own.
KNOWN = {
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "mnist": DIGITS,
    "svhn": DIGITS,
    "imagenette": list(IMAGENETTE.values()),
}

# Name and configuration.
HUB: dict[str, tuple[str, str | None]] = {
    "cifar10": ("uoft-cs/cifar10", None),
    "cifar100": ("uoft-cs/cifar100", None),
    "mnist": ("ylecun/mnist", None),
    "svhn": ("ufldl-stanford/svhn", "cropped_digits"),
    "imagenette": ("frgfm/imagenette", "160px"),
    "imagenet": ("ILSVRC/imagenet-1k", None),
}
RECIPES = tuple(HUB)
# Photographs of many sizes; what they are tested on is called validation, as test images have no labels.
IMAGENETS = ("imagenette", "imagenet")


def same_names(recipe: str, names: list[str]) -> list[str]:
    """The names by which this project calls the classes."""
    aliases = ALIASES.get(recipe, {})
    return [aliases.get(name, name) for name in names]
