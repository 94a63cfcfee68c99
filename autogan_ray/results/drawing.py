"""A genotype as text for people: one line a cell, in the words of the space."""

from __future__ import annotations

from itertools import groupby

from autogan_ray.genotype import Genotype


def draw(genotype: Genotype) -> str:
    """Both networks, cell by cell; decisions keep the space's order."""
    lines = [f"{genotype.space}, {genotype.image_size} px, genotype {genotype.genotype_id}"]
    for title, pairs in (("generator", genotype.generator), ("discriminator", genotype.discriminator)):
        lines.append(f"  {title}" + ("" if pairs else ": fixed"))
        for cell, group in groupby(pairs, key=lambda pair: pair[0].split(".")[1]):
            decided = "  ".join(f"{name.split('.', 2)[2]}={choice}" for name, choice in group)
            lines.append(f"    {cell}: {decided}")
    return "\n".join(lines)
