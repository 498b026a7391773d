"""The bytes on the wire: CBOR, records, signed envelopes, telemetry frames, hash chains."""
