"""The words of `parallel_sample`, German and English, and the German forms of articles and adjectives.

Many a word has two translations, and what it goes with decides: "groß" is tall of a person and big of a dog;
one wears a hat but carries a box, which is "trägt" for both; "zieht" is pulls, puts on with "an", takes off
with "aus".
"""

from typing import NamedTuple, TypeVar


class Noun(NamedTuple):
    """`kinds`: Person, Elder, Animal, Garment, Thing to carry, to Read, to open (Door), to pull (Vehicle)."""

    gender: str
    singular: str
    plural: str
    english: str
    english_plural: str
    kinds: str
    weak: str = ""  # "weak" where accusative and dative look like the plural: "den Jungen"

    def german(self, case: str, plural: bool) -> str:
        if not plural:
            return self.plural if self.weak and case != "nom" else self.singular
        return self.plural + "n" if case == "dat" and not self.plural.endswith("n") else self.plural


class Verb(NamedTuple):
    """`subjects` and `objects` are kinds of nouns. The German plural is the infinitive, too."""

    singular: str
    plural: str
    particle: str
    english: str
    ing: str
    rest: str
    subjects: str
    case: str = ""
    objects: str = ""


class Adjective(NamedTuple):
    stem: str
    english: str
    kinds: str


class Auxiliary(NamedTuple):
    singular: str
    plural: str
    english: str
    english_plural: str


Row = TypeVar("Row", Noun, Verb, Adjective, Auxiliary)


def _table(row: type[Row], text: str) -> list[Row]:
    """Rows between commas, cells between spaces; "-" for an empty cell, "_" for a space in one."""
    cells = [entry.split() for entry in text.split(",")]
    return [row(*(cell.replace("-", "").replace("_", " ") for cell in entry)) for entry in cells]


def _glossary(text: str) -> dict[str, str]:
    return dict(entry.strip().split(" = ") for entry in text.split(","))


NOUNS = _table(
    Noun,
    """
    m Mann Männer man men PE, m Junge Jungen boy boys P weak, n Kind Kinder child children P,
    m Polizist Polizisten police_officer police_officers PE weak, n Mädchen Mädchen girl girls P,
    m Straßenmusiker Straßenmusiker street_musician street_musicians PE, f Frau Frauen woman women PE,
    f Großmutter Großmütter grandmother grandmothers P, f Lehrerin Lehrerinnen teacher teachers PE,
    m Hund Hunde dog dogs A, m Affe Affen monkey monkeys A weak, f Katze Katzen cat cats A,
    n Pferd Pferde horse horses A, m Hut Hüte hat hats G, m Regenmantel Regenmäntel raincoat raincoats G,
    f Jacke Jacken jacket jackets G, n Hemd Hemden shirt shirts G,
    f Schwimmweste Schwimmwesten life_jacket life_jackets G, m Ball Bälle ball balls T,
    m Brief Briefe letter letters TR, n Buch Bücher book books TR, f Kiste Kisten box boxes TD,
    m Apfelkuchen Apfelkuchen apple_pie apple_pies T, f Tür Türen door doors D,
    n Fenster Fenster window windows D, m Schlitten Schlitten sled sleds V,
    m Kinderwagen Kinderwagen baby_carriage baby_carriages V
    """,
)
VERBS = _table(
    Verb,
    """
    schläft schlafen - sleep sleeping - PA, schläft schlafen ein fall falling asleep PA,
    singt singen - sing singing - P, singt singen mit sing singing along P,
    steht stehen - stand standing - PA, steht stehen auf stand standing up PA,
    läuft laufen - walk walking - PA, läuft laufen weg run running away PA,
    lacht lachen - laugh laughing - P, tanzt tanzen - dance dancing - P,
    spielt spielen - play playing - PA, wartet warten - wait waiting - PA,
    jagt jagen - chase chasing - PA acc A, umarmt umarmen - hug hugging - P acc PA,
    malt malen - paint painting - P acc PAD, sucht suchen - look looking for PA acc PAGT,
    sieht sehen an look looking at PA acc PAT, hört hören zu listen listening to PA dat P,
    ruft rufen - call calling - P acc PA, ruft rufen an phone phoning - P acc P,
    hilft helfen - help helping - P dat PA, folgt folgen - follow following - PA dat PA,
    winkt winken zu wave waving at P dat P, trägt tragen - wear wearing - P acc G,
    trägt tragen - carry carrying - P acc T, zieht ziehen - pull pulling - PA acc V,
    zieht ziehen an put putting on P acc G, zieht ziehen aus take taking off P acc G,
    hebt heben auf pick picking up P acc GT, wirft werfen - throw throwing - P acc T,
    wirft werfen weg throw throwing away P acc GT, macht machen auf open opening - P acc D,
    macht machen zu close closing - P acc D, liest lesen - read reading - P acc R,
    kauft kaufen - buy buying - P acc GTV
    """,
)
ADJECTIVES = _table(
    Adjective,
    """
    alt old EAGTRDV, jung young EA, groß tall P, groß big AGTRDV, klein little PA, klein small GTRDV,
    müd tired PA, schwarz black AGDV, rot red GTRDV, blau blue GTRDV
    """,
)
MODALS = _table(Auxiliary, "will wollen wants_to want_to, kann können can can")
CLAIMS = _table(Auxiliary, "sieht sehen sees see, weiß wissen knows know, hofft hoffen hopes hope")
NO_VERB = Verb("", "", "", "", "", "", "")  # after a claim

COUNTS = _glossary("zwei = two, drei = three, vier = four")
TIMES = _glossary(
    "am Abend = in the evening, am Morgen = in the morning, heute = today, nachts = at night, "
    "nach der Schule = after school"
)
MANNERS = _glossary("leise = quietly, heimlich = secretly, allein = alone")
PLACES = _glossary(
    "im Park = in the park, im Wald = in the forest, am Strand = on the beach, am Fluss = by the river, "
    "am Bahnhof = at the train station, in der Küche = in the kitchen, auf der Straße = on the street, "
    "auf dem Spielplatz = at the playground, vor dem Haus = in front of the house, "
    "neben dem Brunnen = next to the fountain, unter einem Baum = under a tree"
)
SUBORDINATE = _glossary("während = while, weil = because, obwohl = although")
LINKS = SUBORDINATE | {"und": "and", "dass": "that"}

FORMS = "mfnp"  # the genders, and the plural, which has none: the columns of what follows
CASES = ("nom", "acc", "dat")  # its rows
DEFINITE, INDEFINITE, DEFINITE_ENDINGS, INDEFINITE_ENDINGS = (
    {case: row.split() for case, row in zip(CASES, table.split(","), strict=True)}
    for table in (
        "der die das die, den die das die, dem der dem den",
        "ein eine ein -, einen eine ein -, einem einer einem -",
        "e e e en, en e e en, en en en en",
        "er e es e, en e es e, en en en en",
    )
)


def article(definite: bool, case: str, form: str) -> str:
    """The definite ones also serve as relative pronouns, but for the plural's dative."""
    return (DEFINITE if definite else INDEFINITE)[case][FORMS.index(form)]


def ending(definite: bool, case: str, form: str) -> str:
    """An adjective's, after such an article, or in an indefinite plural after a number."""
    return (DEFINITE_ENDINGS if definite else INDEFINITE_ENDINGS)[case][FORMS.index(form)]
