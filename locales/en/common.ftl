# Dates. The day, the month's name, the year, the time of day and the zone's abbreviation.
moment = { $day } { $month } { $year }, { $time } { $zone }
month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December

# A value as it was given, where a sentence needs nothing around it.
as-it-is = { $value }
