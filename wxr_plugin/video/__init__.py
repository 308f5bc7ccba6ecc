"""Videos: frames are streamed through a restorer, and sound and subtitles are copied."""
