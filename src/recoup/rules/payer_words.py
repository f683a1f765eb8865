"""What payers read, in mails and on their page, in their language.

The language is the customer's, else its billing entity's; English where we do not speak it. What
stands on a document is in `documents/words`, in the same languages: whose PDF is in Dutch gets the
mail about it in Dutch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from recoup.rules.money import exponent, major_units


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """One language's. `{…}` is filled in where it is used."""

    language: str
    decimal_mark: str = "."
    group_mark: str = ","
    invoice: str
    issued: str
    due: str
    total: str
    to_pay: str
    state: str
    invoices_of: str
    none_yet: str
    paid: str
    open: str
    overdue: str
    voided: str
    being_paid: str
    pay: str
    go_on_to_pay: str
    cannot_pay_now: str
    back: str
    link_is_old: str
    ask_for_new_link: str
    mail_subject: str
    mail_greeting: str
    mail_opening: str
    mail_link: str
    note_subject: str
    note_opening: str
    receipt_subject: str
    receipt_opening: str
    reminder_subject: str
    reminder_opening: str
    older: str
    newer: str


_ALL: Final[Mapping[str, Words]] = {
    words.language: words
    for words in (
        Words(
            language="en", invoice="Invoice", issued="Issued", due="Due", total="Total",
            to_pay="To pay", state="State", invoices_of="Your invoices from {seller}",
            none_yet="There are no invoices.", paid="Paid", open="Open", overdue="Overdue",
            voided="Void", being_paid="Being paid", pay="Pay", go_on_to_pay="Continue to payment",
            cannot_pay_now="This invoice cannot be paid here at the moment. Nothing was charged.",
            back="Back to all invoices", link_is_old="This link is no longer valid",
            ask_for_new_link="Please ask for a new one. Nothing was charged.",
            mail_subject="Invoice {number} from {seller}", mail_greeting="Hello,",
            mail_opening="here is your invoice {number} from {seller}.",
            mail_link="See and pay your invoices:",
            note_subject="Credit note {number} from {seller}",
            note_opening="here is your credit note {number} from {seller}.",
            receipt_subject="Receipt {number} from {seller}",
            reminder_subject="Payment reminder from {seller}",
            reminder_opening="this is a reminder: {seller} awaits payment of {number}.",
            receipt_opening="thank you for your payment. Here is receipt {number} from {seller}.",
            older="Older", newer="Newer",
        ),
        Words(
            language="de", decimal_mark=",", group_mark=".", invoice="Rechnung",
            issued="Ausgestellt", due="Fällig", total="Summe", to_pay="Zu zahlen", state="Stand",
            invoices_of="Ihre Rechnungen von {seller}", none_yet="Es gibt keine Rechnungen.",
            paid="Bezahlt", open="Offen", overdue="Überfällig", voided="Storniert",
            being_paid="Wird bezahlt", pay="Bezahlen", go_on_to_pay="Weiter zur Zahlung",
            cannot_pay_now=(
                "Diese Rechnung kann hier zurzeit nicht bezahlt werden. Es wurde nichts abgebucht."
            ),
            back="Zurück zu allen Rechnungen", link_is_old="Dieser Link gilt nicht mehr",
            ask_for_new_link="Bitte fordern Sie einen neuen an. Es wurde nichts abgebucht.",
            mail_subject="Rechnung {number} von {seller}", mail_greeting="Guten Tag,",
            mail_opening="hier ist Ihre Rechnung {number} von {seller}.",
            mail_link="Rechnungen ansehen und bezahlen:",
            note_subject="Rechnungskorrektur {number} von {seller}",
            note_opening="hier ist Ihre Rechnungskorrektur {number} von {seller}.",
            receipt_subject="Zahlungsbeleg {number} von {seller}",
            reminder_subject="Zahlungserinnerung von {seller}",
            reminder_opening="wir erinnern Sie: {seller} erwartet die Zahlung von {number}.",
            receipt_opening="danke für Ihre Zahlung. Hier ist Ihr Beleg {number} von {seller}.",
            older="Ältere", newer="Neuere",
        ),
        Words(
            language="fr", decimal_mark=",", group_mark="\N{NARROW NO-BREAK SPACE}",
            invoice="Facture", issued="Émise le", due="Échéance", total="Total",
            to_pay="À payer", state="État", invoices_of="Vos factures de {seller}",
            none_yet="Il n’y a pas de factures.", paid="Payée", open="Ouverte",
            overdue="En retard", voided="Annulée", being_paid="Paiement en cours", pay="Payer",
            go_on_to_pay="Continuer vers le paiement",
            cannot_pay_now=(
                "Cette facture ne peut pas être payée ici pour le moment. Rien n’a été débité."
            ),
            back="Retour aux factures", link_is_old="Ce lien n’est plus valable",
            ask_for_new_link="Veuillez en demander un nouveau. Rien n’a été débité.",
            mail_subject="Facture {number} de {seller}", mail_greeting="Bonjour,",
            mail_opening="voici votre facture {number} de {seller}.",
            mail_link="Voir et payer vos factures :",
            note_subject="Avoir {number} de {seller}",
            note_opening="voici votre avoir {number} de {seller}.",
            receipt_subject="Reçu {number} de {seller}",
            reminder_subject="Rappel de paiement de {seller}",
            reminder_opening="nous vous rappelons que {seller} attend le paiement de {number}.",
            receipt_opening="merci pour votre paiement. Voici votre reçu {number} de {seller}.",
            older="Plus anciennes",
            newer="Plus récentes",
        ),
        Words(
            language="es", decimal_mark=",", group_mark=".", invoice="Factura",
            issued="Emitida", due="Vence", total="Total", to_pay="Por pagar", state="Estado",
            invoices_of="Sus facturas de {seller}", none_yet="No hay facturas.", paid="Pagada",
            open="Abierta", overdue="Vencida", voided="Anulada", being_paid="Pago en curso",
            pay="Pagar", go_on_to_pay="Continuar al pago",
            cannot_pay_now=(
                "Esta factura no se puede pagar aquí por el momento. No se ha cobrado nada."
            ),
            back="Volver a las facturas", link_is_old="Este enlace ya no es válido",
            ask_for_new_link="Solicite uno nuevo. No se ha cobrado nada.",
            mail_subject="Factura {number} de {seller}", mail_greeting="Hola:",
            mail_opening="esta es su factura {number} de {seller}.",
            mail_link="Ver y pagar sus facturas:",
            note_subject="Factura rectificativa {number} de {seller}",
            note_opening="esta es su factura rectificativa {number} de {seller}.",
            receipt_subject="Recibo {number} de {seller}",
            reminder_subject="Recordatorio de pago de {seller}",
            reminder_opening="le recordamos que {seller} espera el pago de {number}.",
            receipt_opening="gracias por su pago. Este es su recibo {number} de {seller}.",
            older="Anteriores", newer="Más recientes",
        ),
        Words(
            language="it", decimal_mark=",", group_mark=".", invoice="Fattura",
            issued="Emessa il", due="Scadenza", total="Totale", to_pay="Da pagare", state="Stato",
            invoices_of="Le sue fatture di {seller}", none_yet="Non ci sono fatture.",
            paid="Pagata", open="Aperta", overdue="Scaduta", voided="Annullata",
            being_paid="Pagamento in corso", pay="Paga", go_on_to_pay="Continua con il pagamento",
            cannot_pay_now=(
                "Al momento questa fattura non può essere pagata qui. Non è stato addebitato nulla."
            ),
            back="Torna alle fatture", link_is_old="Questo link non è più valido",
            ask_for_new_link="Ne richieda uno nuovo. Non è stato addebitato nulla.",
            mail_subject="Fattura {number} di {seller}", mail_greeting="Buongiorno,",
            mail_opening="ecco la sua fattura {number} di {seller}.",
            mail_link="Vedere e pagare le sue fatture:",
            note_subject="Nota di credito {number} di {seller}",
            note_opening="ecco la sua nota di credito {number} di {seller}.",
            receipt_subject="Ricevuta {number} di {seller}",
            receipt_opening="grazie per il pagamento. Ecco la ricevuta {number} di {seller}.",
            reminder_subject="Sollecito di pagamento di {seller}",
            reminder_opening="le ricordiamo che {seller} attende il pagamento di {number}.",
            older="Precedenti", newer="Più recenti",
        ),
        Words(
            language="nl", decimal_mark=",", group_mark=".", invoice="Factuur",
            issued="Factuurdatum", due="Vervaldatum", total="Totaal", to_pay="Te betalen",
            state="Status", invoices_of="Uw facturen van {seller}",
            none_yet="Er zijn geen facturen.", paid="Betaald", open="Open", overdue="Te laat",
            voided="Geannuleerd", being_paid="Wordt betaald", pay="Betalen",
            go_on_to_pay="Verder naar de betaling",
            cannot_pay_now=(
                "Deze factuur kan hier op dit moment niet worden betaald. Er is niets afgeschreven."
            ),
            back="Terug naar alle facturen", link_is_old="Deze link is niet meer geldig",
            ask_for_new_link="Vraag een nieuwe aan. Er is niets afgeschreven.",
            mail_subject="Factuur {number} van {seller}", mail_greeting="Goedendag,",
            mail_opening="hier is uw factuur {number} van {seller}.",
            mail_link="Uw facturen bekijken en betalen:",
            note_subject="Creditnota {number} van {seller}",
            note_opening="hier is uw creditnota {number} van {seller}.",
            receipt_subject="Betalingsbewijs {number} van {seller}",
            receipt_opening="dank voor uw betaling. Hier is betalingsbewijs {number} van {seller}.",
            reminder_subject="Betalingsherinnering van {seller}",
            reminder_opening="wij herinneren u eraan dat {seller} wacht op betaling van {number}.",
            older="Oudere", newer="Nieuwere",
        ),
        Words(
            language="pt", decimal_mark=",", group_mark=".", invoice="Fatura",
            issued="Emitida em", due="Vencimento", total="Total", to_pay="A pagar",
            state="Estado", invoices_of="As suas faturas de {seller}",
            none_yet="Não há faturas.", paid="Paga", open="Em aberto", overdue="Vencida",
            voided="Anulada", being_paid="Pagamento em curso", pay="Pagar",
            go_on_to_pay="Continuar para o pagamento",
            cannot_pay_now=(
                "De momento esta fatura não pode ser paga aqui. Nada foi cobrado."
            ),
            back="Voltar às faturas", link_is_old="Este link já não é válido",
            ask_for_new_link="Solicite um novo. Nada foi cobrado.",
            mail_subject="Fatura {number} de {seller}", mail_greeting="Olá,",
            mail_opening="aqui está a sua fatura {number} de {seller}.",
            mail_link="Ver e pagar as suas faturas:",
            note_subject="Nota de crédito {number} de {seller}",
            note_opening="aqui está a sua nota de crédito {number} de {seller}.",
            receipt_subject="Recibo {number} de {seller}",
            receipt_opening="obrigado pelo seu pagamento. Aqui está o recibo {number} de {seller}.",
            reminder_subject="Lembrete de pagamento de {seller}",
            reminder_opening="lembramos que {seller} aguarda o pagamento de {number}.",
            older="Anteriores", newer="Mais recentes",
        ),
    )
}  # fmt: skip


def words_for(*locales: str | None) -> Words:
    """The words of the first of these locales (`fr`, `pt-BR`, none) if we have them; or English."""
    wanted = next((locale for locale in locales if locale), "en")
    return _ALL.get(wanted.partition("-")[0], _ALL["en"])


def amount_text(cents: int, currency: str, words: Words) -> str:
    """`1,234.50 EUR`, as the language groups its digits."""
    digits = f"{major_units(cents, currency):,.{exponent(currency)}f}"
    marks = {",": words.group_mark, ".": words.decimal_mark}
    return f"{''.join(marks.get(one, one) for one in digits)} {currency}"
