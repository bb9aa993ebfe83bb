"""The page of `samplecnn demo`: drop or record audio, see its tags, when each is heard, what sounds alike.

`hearing` and `shelf` compute, `uploads` holds what visitors bring, `drawing` turns results into HTML, `page`
is the page and `server` runs it. Only the last two need gradio, the extra `demo`.
"""
