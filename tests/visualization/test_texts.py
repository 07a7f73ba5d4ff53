from matplotlib import font_manager

from lxmert.visualization.texts import PLAIN, fonts_for, shortened, wrapped


def test_texts_are_cut() -> None:
    assert shortened("short", 5) == "short"
    assert shortened("a bit longer", 6) == "a bit…"
    assert shortened("tooLongWithoutSpace", 6) == "tooLo…"
    assert wrapped("one two three four", 9, 3) == "one two\nthree\nfour"
    assert wrapped("one two three four", 9, 2) == "one two\nthree…"
    assert wrapped("x" * 30, 10, 2) == "x" * 10 + "\n" + "x" * 9 + "…"
    assert wrapped("", 10, 2) == ""
    assert wrapped("左の人" * 6, 20, 9).splitlines() == ["左の人左の人左の人"] * 2, "wide characters take two places"


def test_other_fonts_stand_in_for_missing_characters() -> None:
    assert fonts_for(["plain", "żółty", "красный"]) == [PLAIN]
    ours = font_manager.get_font(font_manager.findfont(PLAIN)).get_charmap()
    stix = font_manager.get_font(font_manager.findfont("STIXGeneral")).get_charmap()
    missing = chr(min(code for code in stix if code not in ours and chr(code).isprintable()))
    families = fonts_for([missing])
    assert families[0] == PLAIN
    assert ord(missing) in font_manager.get_font(font_manager.findfont(families[1])).get_charmap()
    assert fonts_for(["\U000e0fff"]) == [PLAIN], "no font has it"
