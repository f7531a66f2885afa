"""Storage on one small computer: SQLite for queue and documents, a folder for blobs."""
