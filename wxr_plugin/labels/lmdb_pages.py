"""The rows of an LMDB file, read page by page without LMDB's library.

That library ends the process on a damaged page. The layout is that of LMDB 0.9 (data version 1) on
a little-endian machine: pages with a header of 16 bytes, two meta pages at the start, a tree of
branch and leaf pages below the root that the newer meta page names, and overflow pages for large
values. Nothing is read beyond the end of the file.
"""

from collections.abc import Iterator

HEADER = 16
MAGIC = 0xBEEFC0DE
BRANCH, LEAF, OVERFLOW = 1, 2, 4
"""Flags of a page."""
BIG = 1
"""Flag of a node whose value lies in overflow pages."""
_PAGE_SIZE = 40
"""Offset of the page size in a meta page."""
_TREE = 88
"""Offset of the tree of rows in a meta page; in the tree, entries are at 32 and the root at 40."""
_TRANSACTION = 144
"""Offset of the transaction's number in a meta page."""


class LmdbFile:
    """The tree of rows in the bytes `data` (or an mmap) of a data.mdb.

    Attributes:
        entries: number of rows that the file should have.

    Raises:
        ValueError: neither meta page can be read.
    """

    def __init__(self, data: bytes):
        self.data = data
        self.page_size = 0
        if len(data) > HEADER + _TRANSACTION:
            self.page_size = _number(data, _PAGE_SIZE, 4)
        metas = []
        for place in (0, self.page_size):
            meta = self._meta(place)
            if meta:
                metas.append(meta)
        # LMDB's pages have at least 512 bytes.
        if not metas or self.page_size < 512:
            raise ValueError("its first pages are damaged")
        # LMDB writes the two meta pages in turn; the one with the higher transaction counts.
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
            kind = _flags(page) & 0x0F if page else 0
            # A page that comes twice is in a circle of damaged numbers.
            if number in seen or kind not in (BRANCH, LEAF):
                return number
            seen.add(number)
            if kind == BRANCH:
                pending += self._children(page)
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
            flags = _flags(page)
            if flags & BRANCH:
                pending += self._children(page)
            elif flags & LEAF:
                yield from self._rows_of(page)

    def _rows_of(self, page: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows of a leaf page that are not cut short."""
        for place in self._places(page):
            row = self._row(page, place)
            if row is not None:
                yield row

    def _meta(self, place: int) -> tuple[int, int, int] | None:
        """Return transaction, entries and root of the meta page at `place`; None without one."""
        end = place + _TRANSACTION + 8
        if len(self.data) < end:
            return None
        magic = _number(self.data, place + HEADER, 4)
        if magic != MAGIC:
            return None
        tree = place + _TREE
        transaction = _number(self.data, place + _TRANSACTION, 8)
        entries = _number(self.data, tree + 32, 8)
        root = _number(self.data, tree + 40, 8)
        return transaction, entries, root

    def _page(self, number: int) -> bytes:
        """Return the page `number`; empty if the file has no page of this number there."""
        start = number * self.page_size
        end = start + self.page_size
        page = self.data[start:end]
        if len(page) < self.page_size:
            return b""
        # Each page begins with its own number.
        is_right = _number(page, 0, 8) == number
        return page if is_right else b""

    def _places(self, page: bytes) -> list[int]:
        """Return the offsets of the nodes of a branch or leaf page, which follow its header."""
        end = min(_number(page, 12, 2), len(page))
        starts = range(HEADER, end - 1, 2)
        return [_number(page, start, 2) for start in starts]

    def _children(self, page: bytes) -> list[int]:
        """Return the numbers of the pages below a branch page."""
        children = []
        for place in self._places(page):
            # The first six bytes of a node are the number of the child page.
            if place + 8 <= len(page):
                children.append(_number(page, place, 6))
        return children

    def _row(self, page: bytes, place: int) -> tuple[bytes, bytes] | None:
        """Return key and value of the node at `place` of a leaf page; None if it is cut short."""
        # A node is the size of its value (4 bytes), flags (2), the size of its key (2), key, value.
        key_start = place + 8
        if key_start > len(page):
            return None
        size = _number(page, place, 4)
        flags = _number(page, place + 4, 2)
        key_size = _number(page, place + 6, 2)
        start = key_start + key_size
        end = start + size
        key = page[key_start:start]
        value = page[start:end]
        if flags & BIG:  # the node holds the number of the first overflow page instead
            first = _number(page, start, 8)
            value = self._big(first, size)
        is_whole = len(value) == size
        return (key, value) if is_whole else None

    def _big(self, first: int, size: int) -> bytes:
        """Return a value in overflow pages from page `first` on; empty if they are cut short."""
        page = self._page(first)
        if not page or not _flags(page) & OVERFLOW:
            return b""
        # Only the first of the overflow pages has a header.
        start = first * self.page_size + HEADER
        end = start + size
        return self.data[start:end]


def _flags(page: bytes) -> int:
    return _number(page, 10, 2)


def _number(data: bytes, place: int, size: int) -> int:
    """Return the unsigned little-endian number in the `size` bytes at `place`."""
    end = place + size
    return int.from_bytes(data[place:end], "little")
