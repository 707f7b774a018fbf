"""`darkroom demo`: photos in, picture and video out, as a client of the gateway."""
