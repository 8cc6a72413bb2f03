"""Names for containers that were given none: two words, easy to say and to remember. Pure."""

from __future__ import annotations

_QUALITIES = (
    "amber agile ample aware bold brave brief bright brisk calm candid clear clever cosy crisp curious "
    "daring deft eager early easy fair fancy fine firm fleet fond frank fresh gentle glad golden "
    "grand happy hardy honest humble jolly keen kind lively lucid lucky mellow merry mild modest "
    "neat nimble noble patient placid plucky polite proud quick quiet ready robust serene sharp "
    "silent smart snug solid spry steady sturdy sunny swift tidy tough trusty upbeat vivid warm wise"
).split()
_BIRDS = (
    "avocet bittern bunting buzzard condor coot crane curlew dipper dove dunlin eagle egret eider "
    "falcon finch flicker fulmar gannet goose grebe grouse gull harrier hawk heron hobby hoopoe "
    "ibis jackdaw jay kestrel kite kiwi knot lapwing lark linnet loon magpie martin merlin moa "
    "nightjar nuthatch oriole osprey ostrich owl parrot pelican penguin petrel pipit plover puffin "
    "quail raven redstart robin rook ruff sandpiper shrike siskin skua skylark snipe sparrow "
    "starling stilt stork swallow swan swift teal tern thrush toucan turnstone twite vireo "
    "warbler waxwing wheatear whimbrel wigeon wren wryneck"
).split()


def name_for(container_id: str, attempt: int = 0) -> str:
    """A name for a container id; another one for each further attempt."""
    number = int(container_id[:12], 16) + attempt * 7919
    quality = _QUALITIES[number % len(_QUALITIES)]
    bird = _BIRDS[number // len(_QUALITIES) % len(_BIRDS)]
    return f"{quality}_{bird}" if attempt < 8 else f"{quality}_{bird}{number % 1000}"
