"""The routes: what comes in is checked by its types, handed to a service, and answered. No decisions here."""
