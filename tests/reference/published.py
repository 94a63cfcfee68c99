"""The published genotypes as the papers and their code print them, and what the numbers mean."""

from __future__ import annotations

from tests.reference import adversarialnas, alphagan, autogan, common

AUTOGAN = {
    "autogan-a": (1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 3),
    "autogan-b": (1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 3),
    "autogan-c": (1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 3),
    "e2gan": (0, 1, 0, 1, 0, 1, 2, 1, 0, 0, 1, 0, 1, 2),
}
"""Genes of Gong et al., ICCV 2019, and of Tian et al. (E2GAN), ECCV 2020, whose space is the same."""

ADVERSARIALNAS = {
    "adversarialnas": ("1110331", "1101333", "0103303"),
    "mmd-adversarialnas": ("0134641", "1140553", "0145644"),
}
"""A row for each cell, [U0, U1, e0 to e4]: Gao et al., CVPR 2020; MMD, ICASSP 2024."""

EAGAN_G = dict.fromkeys(("eagan-g", "eagan-cifar10", "eagan-stl10"), ("1110231", "1101305", "0103003"))
"""The same cells with z in three parts at every size, found once for both data sets: Ying et al., ECCV 2022."""

EAGAN_D = {
    "eagan-cifar10": ("3030200", "10301--", "30301--"),
    "eagan-stl10": ("3030200", "40401--", "30301--"),
}
"""[x to a, x to b, a to b, a to c, x to c, down b, down c], a dash for no halving: Ying et al., ECCV 2022."""

ALPHAGAN = {
    "alphagan-s": ("20030", "00433", "01433", "1", "02"),
    "alphagan-l": ("02224", "02201", "12023", "1", "21"),
}
"""[U0, U1, N0, N1, N2] for each cell, then the skips into the second and the third: Tian et al., TPAMI 2021.

In words (s): bilinear, deconv, conv1, sep3, conv1; deconv, deconv, sep5, sep3, sep3; deconv, nearest, sep5, sep3, sep3;
nearest; deconv, bilinear.
"""


def autogan_choices(genes: tuple[int, ...]) -> dict[str, str]:
    """Genes (conv, norm, up, shortcut[, skips]) of three cells; in skips the most significant bit is the first cell."""
    choices: dict[str, str] = {}
    for cell, row in enumerate((genes[:4], genes[4:9], genes[9:14]), start=1):
        lead = f"g.cell{cell}."
        choices[lead + "conv"] = autogan.CONV[row[0]]
        choices[lead + "norm"] = autogan.NORM[row[1]]
        choices[lead + "up"] = autogan.UP[row[2]]
        choices[lead + "shortcut"] = autogan.SWITCH[row[3]]
        if cell > 1:
            for earlier, bit in enumerate(f"{row[4]:0{cell - 1}b}", start=1):
                choices[f"{lead}skip{earlier}"] = autogan.SWITCH[int(bit)]
    return choices


def adversarialnas_choices(rows: tuple[str, ...]) -> dict[str, str]:
    """Seven digits for each of three cells of G."""
    tables = {name: adversarialnas.UP if name[0] == "u" else common.NORMAL for name in "u0 u1 e0 e1 e2 e3 e4".split()}
    return {
        f"g.cell{cell}.{name}": table[int(digit)]
        for cell, row in enumerate(rows, start=1)
        for (name, table), digit in zip(tables.items(), row, strict=True)
    }


def eagan_choices(rows: tuple[str, ...]) -> dict[str, str]:
    """Seven genes for each of the three searched cells of D, which follow AutoGAN's first block."""
    names = "e0 e1 e2 e3 e4 d0 d1".split()
    return {
        f"d.cell{cell}.{name}": (common.DOWN if name[0] == "d" else common.NORMAL)[int(gene)]
        for cell, row in enumerate(rows, start=2)
        for name, gene in zip(names, row, strict=True)
        if gene != "-"
    }


def alphagan_choices(rows: tuple[str, ...]) -> dict[str, str]:
    """Five digits for each of three cells, then one and two for the skips."""
    names = "u0 u1 e0 e1 e2".split()
    choices = {
        f"g.cell{cell}.{name}": (alphagan.UP if name[0] == "u" else alphagan.NORMAL)[int(digit)]
        for cell, row in enumerate(rows[:3], start=1)
        for name, digit in zip(names, row, strict=True)
    }
    for cell, row in enumerate(rows[3:], start=2):
        choices |= {f"g.cell{cell}.skip{i}": alphagan.UP[int(digit)] for i, digit in enumerate(row, start=1)}
    return choices


def published_choices() -> dict[str, dict[str, str]]:
    """Every published genotype's decisions by its name."""
    found = {name: autogan_choices(genes) for name, genes in AUTOGAN.items()}
    found |= {name: adversarialnas_choices(rows) for name, rows in (ADVERSARIALNAS | EAGAN_G).items()}
    found |= {name: alphagan_choices(rows) for name, rows in ALPHAGAN.items()}
    for name, rows in EAGAN_D.items():
        found[name] |= eagan_choices(rows)
    return found


def published_families() -> dict[str, tuple[str, str]]:
    """The families (see ``harness.FAMILIES``) of every published genotype's G and D by its name."""
    tables = {"autogan G": AUTOGAN, "adversarialnas G": ADVERSARIALNAS, "eagan G": EAGAN_G, "alphagan G": ALPHAGAN}
    return {
        name: (family, "eagan D" if name in EAGAN_D else "autogan D")
        for family, table in tables.items()
        for name in table
    }
