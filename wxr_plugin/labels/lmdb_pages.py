"""The rows of an LMDB file, read page by page without LMDB, whose library ends the process on a damaged page.

The layout is that of LMDB 0.9 (data version 1) on a little-endian machine: pages with a header of
16 bytes, two meta pages at the start, a tree of branch and leaf pages below the root that the newer
meta page names, and overflow pages for large values. Nothing is read beyond the end of the file.
"""

import struct
from collections.abc import Iterator

HEADER = 16
MAGIC = 0xBEEFC0DE
BRANCH, LEAF, OVERFLOW = 1, 2, 4
"""Flags of a page."""
BIG = 1
"""Flag of a node whose value lies in overflow pages."""
_PAGE_SIZE, _TREE, _TRANSACTION = 40, 88, 144
"""Places in a meta page: the page size, the tree of the rows (entries at 32 and root at 40 of it), the transaction."""


class LmdbFile:
    """The tree of rows in the bytes `data` (or an mmap) of a data.mdb.

    Attributes:
        entries: rows that there ought to be.

    Raises:
        ValueError: neither meta page can be read.
    """

    def __init__(self, data: bytes):
        self.data = data
        self.page_size = (
            struct.unpack_from("<I", data, _PAGE_SIZE)[0]
            if len(data) > HEADER + _TRANSACTION
            else 0
        )
        metas = [meta for place in (0, self.page_size) if (meta := self._meta(place))]
        if not metas or self.page_size < 512:
            raise ValueError("its first pages are damaged")
        _, self.entries, self.root = max(metas)

    def damaged_page(self) -> int | None:
        """Return the number of a page of the tree whose header is damaged, or None.

        Values are not looked at.
        """
        seen, pending = set(), [self.root] if self.entries else []
        while pending:
            number = pending.pop()
            page = self._page(number)
            flags = struct.unpack_from("<H", page, 10)[0] & 0x0F if page else 0
            if number in seen or flags not in (BRANCH, LEAF):
                return number
            seen.add(number)
            if flags == BRANCH:
                children = [place for place in self._places(page) if place + 8 <= len(page)]
                pending += [int.from_bytes(page[place : place + 6], "little") for place in children]
        return None

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the key and value of every row on a page that can be read."""
        seen, pending = set(), [self.root]
        while pending:
            number = pending.pop()
            page = self._page(number)
            if number in seen or not page:
                continue
            seen.add(number)
            flags = struct.unpack_from("<H", page, 10)[0]
            for place in self._places(page):
                if flags & BRANCH and place + 8 <= len(page):
                    pending.append(int.from_bytes(page[place : place + 6], "little"))
                elif flags & LEAF and (row := self._row(page, place)):
                    yield row

    def _meta(self, place: int) -> tuple[int, int, int] | None:
        """Return transaction, entries and root of the meta page at `place`; None if it is none."""
        if (
            len(self.data) < place + _TRANSACTION + 8
            or struct.unpack_from("<I", self.data, place + HEADER)[0] != MAGIC
        ):
            return None
        entries, root = struct.unpack_from("<QQ", self.data, place + _TREE + 32)
        return struct.unpack_from("<Q", self.data, place + _TRANSACTION)[0], entries, root

    def _page(self, number: int) -> bytes:
        """Return a page that knows its own number; empty where the file has none there."""
        page = self.data[number * self.page_size : (number + 1) * self.page_size]
        whole = len(page) == self.page_size and struct.unpack_from("<Q", page)[0] == number
        return page if whole else b""

    def _places(self, page: bytes) -> tuple[int, ...]:
        """Return where the nodes of a branch or leaf page start."""
        lower = struct.unpack_from("<H", page, 12)[0]
        return struct.unpack_from(f"<{max(min(lower, len(page)) - HEADER, 0) // 2}H", page, HEADER)

    def _row(self, page: bytes, place: int) -> tuple[bytes, bytes] | None:
        """Return key and value of the node at `place` of a leaf page; None where they are not whole."""
        if place + 8 > len(page):
            return None
        low, high, flags, key_size = struct.unpack_from("<HHHH", page, place)
        start, size = place + 8 + key_size, low | high << 16
        value = (
            self._big(page[start : start + 8], size) if flags & BIG else page[start : start + size]
        )
        return (page[place + 8 : start], value) if len(value) == size else None

    def _big(self, number: bytes, size: int) -> bytes:
        """Return a value in overflow pages, or an empty one where they are not whole."""
        first = int.from_bytes(number, "little")
        header = self._page(first)
        if not header or not struct.unpack_from("<H", header, 10)[0] & OVERFLOW:
            return b""
        return self.data[first * self.page_size + HEADER : first * self.page_size + HEADER + size]
