"""
Faults of the network between two roles, made in the packet filter of the target's own network
namespace, from a helper; the images of both ends stay as they are.

Witness of all of them: the kernel's count of the packets that the rules matched, and what a second
helper sees that has lived in each peer's namespace since before the injection.
"""
