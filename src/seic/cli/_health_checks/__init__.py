"""The checks of `seic doctor`, in their order: each goes on where the one before it failed, if that is possible."""
