"""The XMP packet of images and clips: that a model generated them, and all settings. Pure.

Search engines and social networks read `Iptc4xmpExt:DigitalSourceType` to label generated media. The values are
IPTC's NewsCodes: http://cv.iptc.org/newscodes/digitalsourcetype/
"""

import json
import re
from typing import Any
from xml.sax.saxutils import escape

from darkroom_runner.run.content_credentials import GENERATED, GENERATED_FROM_PICTURE

DARKROOM_NAMESPACE = "https://darkroom.dev/xmp/1.0/"
"""Of `darkroom:metadata`, the settings as JSON: what the PNG's `darkroom` chunk has. A name only, not a page."""

MAX_JPEG_PACKET_BYTES = 65_502
"""What an APP1 segment holds after XMP's own header (Adobe's XMP specification, part 3, 1.1.3)."""

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 can't hold, not even escaped."""

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:darkroom="{namespace}"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/">
{properties}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def digital_source_type(metadata: dict[str, Any]) -> str:
    """IPTC's URI for an image's or a clip's metadata."""
    parts = (metadata, metadata.get("video") or {}, metadata.get("picture") or {})
    return GENERATED_FROM_PICTURE if any(part.get("startImage") for part in parts) else GENERATED


def xmp_packet(metadata: dict[str, Any]) -> bytes:
    """The packet, UTF-8, equal for equal metadata.

    A prompt so long that the packet would not fit a JPEG is only in the JSON, not also in IPTC's own property.
    """
    picture = metadata.get("picture") or metadata
    properties = {
        "Iptc4xmpExt:DigitalSourceType": digital_source_type(metadata),
        "Iptc4xmpExt:AISystemUsed": f"Darkroom, {(metadata.get('video') or picture)['baseModel']}",
        "Iptc4xmpExt:AIPromptInformation": picture.get("prompt", ""),
        "xmp:CreatorTool": creator_tool(picture),
        "darkroom:metadata": json.dumps(metadata, ensure_ascii=False),
    }
    packet = _packet(properties)
    if len(packet) > MAX_JPEG_PACKET_BYTES:
        packet = _packet({name: text for name, text in properties.items() if not name.endswith("AIPromptInformation")})
    return packet


def creator_tool(metadata: dict[str, Any]) -> str:
    """Program and version, such as `Darkroom 0.1.0`."""
    return f"Darkroom {metadata.get('versions', {}).get('darkroom', '')}".strip()


def _packet(properties: dict[str, str]) -> bytes:
    lines = "\n".join(f"   <{name}>{_text(value)}</{name}>" for name, value in properties.items() if value)
    return _PACKET.format(namespace=DARKROOM_NAMESPACE, properties=lines).encode()


def _text(value: str) -> str:
    return escape(_FORBIDDEN.sub(" ", value), {"\r": "&#13;"})
