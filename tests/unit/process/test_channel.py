"""What the other process had said is heard, however soon it ends after it."""

from __future__ import annotations

from _socket import socket
from typing import cast

import pytest

from ociruntime.process.channel import Closed, channel_pair
from ociruntime.process.patience import Patience


class Ended:
    """It ends between our last look into the channel and the one at the process."""

    def __init__(self, there: socket, word: bytes) -> None:
        self.there = there
        self.word = word

    def look(self) -> bool:
        if self.word:
            self.there.send(self.word)
            self.word = b""
        return False


@pytest.mark.parametrize("word", [b"done", b""])
def test_the_last_word_of_one_that_has_ended(word: bytes) -> None:
    channel, there = channel_pair()
    try:
        channel.watch(cast("Patience", Ended(there, word)))
        if word:
            assert channel.receive() == word
        with pytest.raises(Closed):
            channel.receive()
    finally:
        there.close()
        channel.close()
