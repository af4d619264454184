"""NequIP's entry point of flashtp. A package of its own: NequIP loads it whenever it is imported, also where flashtp cannot be, and
then must go on without."""
import warnings

try:
    import flashtp.integrations.nequip  # noqa: F401
except ImportError as error:
    warnings.warn(f"flashtp is installed, but NequIP's modifiers enable_FlashTP are missing: {error}", stacklevel=2)
