"""The rows of an LMDB file, read page by page without LMDB's library.

That library ends the process on a damaged page. The layout is that of LMDB 0.9 (data version 1) on
a little-endian machine: pages with a header of 16 bytes, two meta pages at the start, a tree of
branch and leaf pages below the root that the newer meta page names, and overflow pages for large
values. Nothing is read beyond the end of the file.
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
"""Offsets in a meta page: page size, tree of rows (entries at 32, root at 40), transaction."""


class LmdbFile:
    """The tree of rows in the bytes `data` (or an mmap) of a data.mdb.

    Attributes:
        entries: number of rows that the file should have.

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
        # LMDB writes the two meta pages in turn; the one with the higher transaction counts.
        metas = [meta for place in (0, self.page_size) if (meta := self._meta(place))]
        if not metas or self.page_size < 512:
            raise ValueError("its first pages are damaged")
        _, self.entries, self.root = max(metas)

    def damaged_page(self) -> int | None:
        """Return the number of a page of the tree whose header is damaged, or None.

        Values are not checked.
        """
        seen: set[int] = set()
        pending = [self.root] if self.entries else []
        while pending:
            number = pending.pop()
            page = self._page(number)
            flags = struct.unpack_from("<H", page, 10)[0] & 0x0F if page else 0
            if number in seen or flags not in (BRANCH, LEAF):
                return number
            seen.add(number)
            if flags == BRANCH:
                # The first six bytes of a branch's node are the number of the child page.
                children = [place for place in self._places(page) if place + 8 <= len(page)]
                pending += [int.from_bytes(page[place : place + 6], "little") for place in children]
        return None

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the key and value of every row on a page that can be read."""
        seen: set[int] = set()
        pending = [self.root]
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
        """Return transaction, entries and root of the meta page at `place`; None without one."""
        if (
            len(self.data) < place + _TRANSACTION + 8
            or struct.unpack_from("<I", self.data, place + HEADER)[0] != MAGIC
        ):
            return None
        entries, root = struct.unpack_from("<QQ", self.data, place + _TREE + 32)
        return struct.unpack_from("<Q", self.data, place + _TRANSACTION)[0], entries, root

    def _page(self, number: int) -> bytes:
        """Return the page `number`; empty if the file has no page of this number there."""
        page = self.data[number * self.page_size : (number + 1) * self.page_size]
        whole = len(page) == self.page_size and struct.unpack_from("<Q", page)[0] == number
        return page if whole else b""

    def _places(self, page: bytes) -> tuple[int, ...]:
        """Return the offsets of the nodes of a branch or leaf page."""
        end = struct.unpack_from("<H", page, 12)[0]
        count = max(min(end, len(page)) - HEADER, 0) // 2
        return struct.unpack_from(f"<{count}H", page, HEADER)

    def _row(self, page: bytes, place: int) -> tuple[bytes, bytes] | None:
        """Return key and value of the node at `place` of a leaf page; None if it is cut short."""
        if place + 8 > len(page):
            return None
        low, high, flags, key_size = struct.unpack_from("<HHHH", page, place)
        start = place + 8 + key_size
        size = low | high << 16
        key = page[place + 8 : start]
        value = page[start : start + size]
        if flags & BIG:  # the node holds the number of the first overflow page instead
            value = self._big(page[start : start + 8], size)
        return (key, value) if len(value) == size else None

    def _big(self, number: bytes, size: int) -> bytes:
        """Return a value in overflow pages; empty if they are cut short."""
        first = int.from_bytes(number, "little")
        header = self._page(first)
        if not header or not struct.unpack_from("<H", header, 10)[0] & OVERFLOW:
            return b""
        # Only the first of the overflow pages has a header.
        start = first * self.page_size + HEADER
        return self.data[start : start + size]
