"""Parts of networks that several techniques share."""
