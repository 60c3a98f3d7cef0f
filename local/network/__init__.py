"""The virtual network: two hosts and a wire, and what sees its packets."""
