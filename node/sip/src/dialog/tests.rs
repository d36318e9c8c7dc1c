//! Dialogs against RFC 3261 §12.
